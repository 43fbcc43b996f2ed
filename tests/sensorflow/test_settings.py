from pathlib import Path

import pytest

from sensorflow.settings import (
    BridgeSettings,
    Common,
    HttpApiSettings,
    KeySettings,
    OperatorSettings,
    QuerySettings,
    StoreSettings,
    UpSettings,
    kept_file,
    listed,
    read,
)

KEY = "0123456789abcdef"
OTHER_KEY = "fedcba9876543210"


pytestmark = pytest.mark.usefixtures("no_settings")


def keep(*lines: str) -> None:
    Path("data").mkdir(exist_ok=True)
    kept_file(Path("data")).write_text("\n".join(lines))


def refusal(model: type[Common], **flags: object) -> str:
    with pytest.raises(SystemExit) as exit_:
        read(model, **flags)
    return str(exit_.value)


def test_flag_wins_over_environment_over_dotenv_over_what_was_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    found.append(read(UpSettings).http_port)
    keep("HTTP_PORT=8001")
    found.append(read(UpSettings).http_port)
    Path(".env").write_text("HTTP_PORT=8002\n")
    found.append(read(UpSettings).http_port)
    monkeypatch.setenv("HTTP_PORT", "8003")
    found.append(read(UpSettings).http_port)
    found.append(read(UpSettings, http_port=8004).http_port)

    assert found == [8000, 8001, 8002, 8003, 8004]


def test_kept_settings_are_those_of_the_data_directory_in_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keep("HTTP_PORT=8001")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    kept_file(elsewhere).write_text("HTTP_PORT=8005\n")

    assert read(UpSettings, data_dir=elsewhere).http_port == 8005
    monkeypatch.setenv("DATA_DIR", str(elsewhere))
    assert read(UpSettings).http_port == 8005


def test_empty_value_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PORT", "")
    monkeypatch.setenv("INFLUX_TOKEN", KEY)
    monkeypatch.setenv("STORE_RETENTION_DAYS", "")

    assert read(UpSettings).http_port == 8000
    assert read(StoreSettings).store_retention_days is None


def test_secret_may_be_given_as_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("API_KEY_FILE", str(tmp_path / "key"))

    settings = read(UpSettings)

    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == KEY


def test_environment_wins_over_a_file_named_in_dotenv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    Path(".env").write_text("API_KEY_FILE=key\n")
    monkeypatch.setenv("API_KEY", OTHER_KEY)

    settings = read(UpSettings)

    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == OTHER_KEY


def test_service_finds_the_password_of_its_own_user() -> None:
    keep(f"MQTT_PASSWORD_BRIDGE={KEY}", f"MQTT_PASSWORD_OPERATOR={OTHER_KEY}", f"INFLUX_TOKEN={KEY}")

    assert read(BridgeSettings).mqtt_password.get_secret_value() == KEY


def test_tools_find_everything_in_what_up_kept() -> None:
    names = ("API_KEY", "INFLUX_TOKEN", "MQTT_DEVICE_PASSWORD", "MQTT_PASSWORD_OPERATOR")
    keep(*(f"{name}={KEY}" for name in names), "MQTT_PORT=1884")

    settings = read(OperatorSettings)

    assert (settings.mqtt_username, settings.mqtt_port) == ("operator", 1884)
    assert settings.mqtt_password.get_secret_value() == KEY


def test_misspelt_name_in_dotenv_stops_the_start_and_names_the_right_one() -> None:
    Path(".env").write_text("HTPP_PORT=8002\n")

    assert refusal(UpSettings) == "settings: .env: unknown setting HTPP_PORT; did you mean HTTP_PORT?"


def test_settings_of_docker_compose_may_stand_in_dotenv() -> None:
    Path(".env").write_text("COMPOSE_FILE=compose.yaml:compose.tls.yaml\nDOCKER_HOST=ssh://server\n")

    assert read(UpSettings).http_port == 8000


def test_every_unknown_name_in_dotenv_is_named() -> None:
    Path(".env").write_text("HTPP_PORT=8002\nNONSENSE=1\n")

    assert refusal(UpSettings).splitlines() == [
        "settings: .env: unknown setting HTPP_PORT; did you mean HTTP_PORT?",
        "settings: .env: unknown setting NONSENSE",
    ]


@pytest.mark.parametrize("line", ["this is not a setting", "nonsense", "HTTP_PORT", "HTTP_PORT='8002"])
def test_line_that_is_no_setting_stops_the_start_with_its_number(line: str) -> None:
    Path(".env").write_text(f"# ports\n\n{line}\nMQTT_PORT=1884\n")

    assert refusal(UpSettings).startswith(f"settings: .env: line 3 is not NAME=VALUE: {line!r}")


def test_broken_line_of_the_kept_file_stops_the_start_too() -> None:
    keep("HTTP_PORT=8001", "HTTP_PORT 8002")

    assert refusal(UpSettings) == "settings: data/sensorflow.env: line 2 is not NAME=VALUE: 'HTTP_PORT 8002'"


def test_broken_line_with_a_secret_is_not_printed() -> None:
    Path(".env").write_text(f"API_KEY {KEY}\n")

    assert refusal(UpSettings) == "settings: .env: line 1 is not NAME=VALUE: it names a secret"


def test_commented_exported_and_empty_settings_are_fine() -> None:
    Path(".env").write_text("# a comment\n\nexport HTTP_PORT='8002' # another\nLOG_LEVEL=\n")

    assert read(UpSettings).http_port == 8002


@pytest.mark.parametrize("host", ["127.0.0.1:8181", "localhost", "ftp://store", "http://"])
def test_store_without_a_scheme_is_refused(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("INFLUX_HOST", host)
    monkeypatch.setenv("INFLUX_TOKEN", KEY)

    assert refusal(QuerySettings) == (f"INFLUX_HOST: must begin with http:// or https:// and name a host, got {host!r}")


@pytest.mark.parametrize("host", ["http://127.0.0.1:8181", "https://store.example/", "HTTP://[::1]:8181"])
def test_store_is_a_url(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("INFLUX_HOST", host)
    monkeypatch.setenv("INFLUX_TOKEN", KEY)

    assert read(QuerySettings).influx_host == host


def test_wrong_value_is_named_with_its_bound() -> None:
    assert refusal(UpSettings, http_port=70000) == (
        "HTTP_PORT: Input should be less than or equal to 65535, got '70000'"
    )


def test_missing_file_of_a_secret_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY_FILE", "/nowhere/key")

    assert refusal(UpSettings) == "settings: API_KEY_FILE: cannot read '/nowhere/key': No such file or directory"


def test_file_of_a_secret_that_is_no_text_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("API_KEY_FILE", str(tmp_path / "key"))

    assert refusal(UpSettings) == f"settings: API_KEY_FILE: '{tmp_path / 'key'}' is not UTF-8"


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("0123456789abcde", "API_KEY: 15 characters, at least 16"),
        ("aaaaaaaaaaaaaaaaaaaa", "API_KEY: looks like a placeholder"),
        ("change-me-0123456789", "API_KEY: looks like a placeholder"),
    ],
)
def test_weak_key_is_refused_and_never_printed(monkeypatch: pytest.MonkeyPatch, key: str, complaint: str) -> None:
    monkeypatch.setenv("API_KEY", key)

    message = refusal(UpSettings)

    assert complaint in message
    assert key not in message


@pytest.mark.parametrize("model", [UpSettings, HttpApiSettings])
def test_one_key_for_writing_and_looking_on_is_refused(monkeypatch: pytest.MonkeyPatch, model: type[Common]) -> None:
    for name in ("API_KEY", "API_KEY_WS", "INFLUX_TOKEN", "MQTT_PASSWORD"):
        monkeypatch.setenv(name, KEY)

    assert refusal(model) == "API_KEY_WS: the same as API_KEY; browsers would hold the key that writes"


def test_missing_secret_says_who_makes_it() -> None:
    assert "API_KEY: missing; set it in the environment or .env, or run `sensorflow init`" in refusal(HttpApiSettings)


def test_missing_secret_where_nothing_is_kept_says_where_to_run_it() -> None:
    assert refusal(QuerySettings).splitlines() == [
        "INFLUX_TOKEN: missing; set it in the environment or .env, or run `sensorflow init`",
        "no data/sensorflow.env here: run it where `sensorflow up` runs, or give --data-dir",
    ]
    assert "\nno /nowhere/sensorflow.env: run it" in refusal(QuerySettings, data_dir="/nowhere")


def test_missing_secret_beside_a_kept_file_says_nothing_of_directories() -> None:
    keep("HTTP_PORT=8001")

    assert "sensorflow.env" not in refusal(QuerySettings)


def test_unknown_time_zone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMEZONE", "Europe/Lisboa")

    assert "TIMEZONE: not an IANA time zone such as Europe/Lisbon, got 'Europe/Lisboa'" in refusal(HttpApiSettings)


@pytest.fixture
def with_secrets(no_settings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "INFLUX_TOKEN", "MQTT_PASSWORD"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("API_KEY_WS", OTHER_KEY)


@pytest.mark.usefixtures("with_secrets")
@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("TRUSTED_PROXIES", "10.0.0.1, *", "'*' is everybody: then any client could say that it is another"),
        ("TRUSTED_PROXIES", "0.0.0.0/0", "'0.0.0.0/0' is everybody"),
        ("TRUSTED_PROXIES", "::/0", "'::/0' is everybody"),
        ("TRUSTED_PROXIES", "caddy", "'caddy' is no address and no network such as 10.0.0.0/8"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "has host bits set"),
        ("CORS_ORIGINS", "*", "'*' is no origin such as https://dashboard.example"),
        ("CORS_ORIGINS", "https://a.example/", "'https://a.example/' is no origin"),
        ("CORS_ORIGINS", "dashboard.example", "'dashboard.example' is no origin"),
        ("RATE_LIMIT_PER_KEY", "fast", "RATE_LIMIT_PER_KEY: String should match pattern"),
        ("RATE_LIMIT_PER_ADDRESS", "0/minute", "RATE_LIMIT_PER_ADDRESS: String should match pattern"),
        ("RATE_LIMIT_FAILURES", "5/fortnight", "RATE_LIMIT_FAILURES: String should match pattern"),
    ],
)
def test_an_edge_that_would_be_open_or_is_unclear_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, complaint: str
) -> None:
    monkeypatch.setenv(name, value)

    message = refusal(HttpApiSettings)

    assert message.startswith(f"{name}: ")
    assert complaint in message


@pytest.mark.usefixtures("with_secrets")
def test_edges_may_be_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1,2001:db8::/32")
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example,http://localhost:5173")
    monkeypatch.setenv("RATE_LIMIT_PER_KEY", "6000/minute")

    settings = read(HttpApiSettings)

    assert listed(settings.trusted_proxies) == ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]
    assert listed(settings.cors_origins) == ["https://a.example", "http://localhost:5173"]


@pytest.mark.usefixtures("with_secrets")
def test_keys_are_in_the_data_directory_or_where_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(KeySettings, data_dir="/srv").keys_place == Path("/srv")
    monkeypatch.setenv("KEYS_DIR", "/keys")
    assert read(HttpApiSettings, data_dir="/srv").keys_place == Path("/keys")
