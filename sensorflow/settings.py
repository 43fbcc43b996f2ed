"""Settings: environment over ``.env`` over what ``sensorflow up`` keeps in ``DATA_DIR/sensorflow.env`` over defaults.

Each service has its own frozen model and reads it once, in its ``__main__``. Every secret ``NAME`` may also be given as
``NAME_FILE``, the path of a file that holds it.
"""

from __future__ import annotations

import difflib
import hashlib
import ipaddress
import os
import re
import ssl
import sys
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv import dotenv_values
from dotenv.parser import Original, parse_stream
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from sensorflow.kinds import Kinds, load_kinds
from sensorflow.reading import TimeWindow

MIN_SECRET_LENGTH = 16
_FOREIGN = ("COMPOSE_", "DOCKER_")  # docker compose has its own settings in .env
_PLACEHOLDERS = ("change", "example", "placeholder", "secret", "password", "your", "todo", "xxx")

LOOPBACK = "127.0.0.1"

Port = Annotated[int, Field(ge=1, le=65535)]
Rate = Annotated[str, Field(pattern=r"^(off|[1-9][0-9]{0,8}/(second|minute|hour|day))$")]
Database = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


def _strong(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if len(text) < MIN_SECRET_LENGTH:
        raise ValueError(f"{len(text)} characters, at least {MIN_SECRET_LENGTH}")
    if len(set(text)) < 6 or any(word in text.lower() for word in _PLACEHOLDERS):
        raise ValueError("looks like a placeholder; leave it out and `sensorflow init` makes a strong one")
    return secret


def _differs(key: SecretStr, info: ValidationInfo) -> SecretStr:
    if info.data.get("api_key") == key:
        raise ValueError("the same as API_KEY; browsers would hold the key that writes")
    return key


def _url(host: str) -> str:
    if not re.match(r"https?://[^/]", host, re.IGNORECASE):
        raise ValueError("must begin with http:// or https:// and name a host")
    return host


def _networks(text: str) -> str:
    for one in listed(text):
        if one == "*":
            raise ValueError("'*' is everybody: then any client could say that it is another; name your proxy")
        try:
            network = ipaddress.ip_network(one)
        except ValueError as error:
            raise ValueError(f"{one!r} is no address and no network such as 10.0.0.0/8 ({error})") from None
        if network.prefixlen == 0:
            raise ValueError(f"{one!r} is everybody: then any client could say that it is another; name your proxy")
    return text


def _origins(text: str) -> str:
    for one in listed(text):
        if not re.fullmatch(r"https?://[a-z0-9.:\[\]-]+", one):
            raise ValueError(
                f"{one!r} is no origin such as https://dashboard.example: scheme, host, port, in lower case"
            )
    return text


Secret = Annotated[SecretStr, AfterValidator(_strong)]
WsSecret = Annotated[Secret, AfterValidator(_differs)]


class Common(BaseModel):
    """What every process reads."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    data_dir: Path = Path("data")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"
    kinds: str = Field(default="", description="Modules with more kinds, separated by commas.")

    def load_kinds(self) -> Kinds:
        """The shipped kinds and those of the modules named in ``kinds``.

        Raises:
            SystemExit: One of them cannot be used; the message says which and why.
        """
        try:
            return load_kinds(name.strip() for name in self.kinds.split(",") if name.strip())
        except ValueError as error:
            sys.exit(str(error))


class Broker(BaseModel):
    """Where the broker is."""

    mqtt_host: str = "127.0.0.1"
    mqtt_port: Port = 1883
    mqtt_tls: bool = False
    mqtt_ca_file: Path | None = None
    mqtt_keepalive_s: int = Field(default=15, ge=2, le=120)

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """For a broker with TLS: the system's authorities, or the one given."""
        return ssl.create_default_context(cafile=self.mqtt_ca_file) if self.mqtt_tls else None


class Mqtt(Broker):
    """How a service reaches the broker."""

    mqtt_username: str = ""
    mqtt_password: Secret

    @property
    def stable_client_id(self) -> str:
        """The same at every start, and not to be guessed: who knows it could take the session over (docs/decisions)."""
        digest = hashlib.sha256(self.mqtt_password.get_secret_value().encode()).hexdigest()
        return f"{self.mqtt_username}-{digest[:16]}"


class Influx(BaseModel):
    """How a service reaches the store, ours or InfluxDB 3."""

    influx_host: Annotated[str, AfterValidator(_url)] = "http://127.0.0.1:8181"
    influx_token: Secret
    influx_database: Database = "sensorflow"


class Window(BaseModel):
    """Which device times are accepted."""

    max_past_days: float = Field(default=400, gt=0)
    max_future_s: float = Field(default=600, ge=0)

    @property
    def time_window(self) -> TimeWindow:
        """The same for whoever checks a time."""
        return TimeWindow(past_s=self.max_past_days * 86400, future_s=self.max_future_s)


class KeySettings(Common):
    """Where the named keys are."""

    keys_dir: Path | None = Field(default=None, description="By default DATA_DIR.")

    @property
    def keys_place(self) -> Path:
        """The directory of keys.json, keys-used.json and audit.jsonl."""
        return self.keys_dir or self.data_dir


class BridgeSettings(Common, Mqtt, Influx, Window):
    """The bridge."""

    mqtt_username: str = "bridge"
    spool_max_bytes: int = Field(default=4 * 2**30, ge=2**20)
    replay_window_s: float = Field(default=300, ge=0, le=86400)


class HttpApiSettings(KeySettings, Mqtt, Influx, Window):
    """The HTTP API and the WebSocket gateway that it mounts."""

    mqtt_username: str = "http_api"
    http_host: str = "127.0.0.1"
    http_port: Port = 8000
    api_key: Secret
    api_key_ws: WsSecret
    max_ws_connections_per_key: int = Field(default=100, ge=1, le=10_000)
    rate_limit_per_key: Rate = "off"
    rate_limit_per_address: Rate = "off"
    rate_limit_failures: Rate = "60/minute"
    cors_origins: Annotated[str, AfterValidator(_origins)] = ""
    trusted_proxies: Annotated[str, AfterValidator(_networks)] = ""
    receipt_timeout_s: float = Field(default=2.0, gt=0, le=30)
    timezone: str = "UTC"

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("not an IANA time zone such as Europe/Lisbon") from None
        return name


class StoreSettings(Common):
    """The embedded store."""

    influx_token: Secret
    influx_database: Database = "sensorflow"
    store_host: str = "127.0.0.1"
    influx_port: int = Field(default=8181, ge=0, le=65535, description="0 takes a free one and logs it.")
    store_retention_days: float | None = Field(default=None, gt=0)
    store_query_timeout_s: float = Field(default=30, gt=0)
    store_query_max_rows: int = Field(default=1_000_000, ge=1)
    store_memory_limit: str = Field(default="512MB", pattern=r"^[0-9]+(MB|GB)$")


class UpSettings(Common):
    """``sensorflow up`` and ``init``: ports, and the secrets that are made where they are not given."""

    http_host: str = "127.0.0.1"
    http_port: Port = 8000
    mqtt_host: str = "127.0.0.1"
    mqtt_port: Port = 1883
    store_host: str = "127.0.0.1"
    influx_port: Port = 8181
    influx_database: Database = "sensorflow"
    grafana_host: str = "127.0.0.1"
    grafana_port: Port = 3000
    mqtt_services_port: Port | None = None
    mqtt_shared_device: bool = True
    api_key: Secret | None = None
    api_key_ws: WsSecret | None = None
    grafana_password: Secret | None = None
    grafana_secret_key: Secret | None = None
    influx_token: Secret | None = None
    mqtt_device_password: Secret | None = None
    mqtt_password_bridge: Secret | None = None
    mqtt_password_http_api: Secret | None = None
    mqtt_password_operator: Secret | None = None


class CompleteSettings(UpSettings):
    """The same once ``sensorflow.credentials`` has made what was not given."""

    api_key: Secret
    api_key_ws: WsSecret
    grafana_password: Secret
    grafana_secret_key: Secret
    influx_token: Secret
    mqtt_device_password: Secret
    mqtt_password_bridge: Secret
    mqtt_password_http_api: Secret
    mqtt_password_operator: Secret


class ComposeSettings(Common):
    """What the compose files alone read; declared, so that .env may hold it."""

    grafana_files: str = "./grafana"
    tls_dir: str = "./tls"
    tls_host: str = "0.0.0.0"  # noqa: S104 # TLS is there for other machines
    https_port: Port = 443
    mqtts_port: Port = 8883
    grafana_https_port: Port = 3443


class QuerySettings(Common, Influx):
    """The command that asks the store."""


class BoardSettings(Common):
    """The commands that play a board: replay and simulate over HTTP."""

    http_host: str = "127.0.0.1"
    http_port: Port = 8000
    api_key: Secret


class DeviceSettings(Common, Broker):
    """The commands that play a device: replay and simulate over MQTT."""

    mqtt_device_password: Secret


class OperatorSettings(Common, Mqtt):
    """The commands of whoever runs the system: watch, dead-letters."""

    mqtt_username: str = "operator"


MODELS = (
    BridgeSettings,
    HttpApiSettings,
    KeySettings,
    StoreSettings,
    UpSettings,
    ComposeSettings,
    BoardSettings,
    DeviceSettings,
    OperatorSettings,
)
EVERY_SETTING = frozenset(name.upper() for model in MODELS for name in model.model_fields)

SECRETS = frozenset(
    name for name in EVERY_SETTING if any(word in name for word in ("API_KEY", "PASSWORD", "SECRET", "TOKEN"))
)

Model = TypeVar("Model", bound=Common)


def read(model: type[Model], **overrides: Any) -> Model:
    """The settings of one service; ``overrides`` (the command line's) win over all.

    Raises:
        SystemExit: A setting is wrong, missing or unknown; the message names it, its value and what would be right.
    """
    given = {name: str(value) for name, value in overrides.items() if value is not None}
    environment: dict[str, str] = {}
    try:
        environment = {name.lower(): value for name, value in _environment(given.get("data_dir")).items()}
        return model.model_validate(_own_listener(model, _own_password(model, environment)) | given)
    except ValidationError as error:
        data_dir = (environment | given).get("data_dir", "data")
        sys.exit("\n".join([*map(_explain, error.errors(include_url=False)), *_hint(error, kept_file(Path(data_dir)))]))
    except (ValueError, OSError) as error:
        sys.exit("\n".join(f"settings: {line}" for line in str(error).splitlines()))


def listed(text: str) -> list[str]:
    """The parts of a setting that are separated by commas."""
    return [one.strip() for one in text.split(",") if one.strip()]


def kept_file(data_dir: Path) -> Path:
    """Where ``sensorflow up`` keeps the secrets it made and the ports it used last (mode 0600)."""
    return data_dir / "sensorflow.env"


def _own_password(model: type[Common], values: dict[str, str]) -> dict[str, str]:
    """Where one file holds the passwords of all services, take the one of this service's user."""
    if "mqtt_password" in values or "mqtt_username" not in model.model_fields:
        return values
    user = values.get("mqtt_username", model.model_fields["mqtt_username"].default)
    password = values.get(f"mqtt_password_{user}")
    return values | {"mqtt_password": password} if password else values


def _own_listener(model: type[Common], values: dict[str, str]) -> dict[str, str]:
    """Where the services have a listener of their own on this machine, it is what they and the tools connect to."""
    port = values.get("mqtt_services_port")
    if port is None or "mqtt_username" not in model.model_fields:
        return values
    return values | {"mqtt_host": LOOPBACK, "mqtt_port": port}


def _environment(data_dir: str | None) -> dict[str, str]:
    dotenv = {name: value for name, value in read_env_file(Path(".env")).items() if not name.startswith(_FOREIGN)}
    if unknown := sorted(name for name in dotenv if not is_setting(name)):
        raise ValueError("\n".join(f".env: unknown setting {name}{_suggestion(name)}" for name in unknown))
    above = _with_files(dotenv) | _with_files({name: value for name, value in os.environ.items() if is_setting(name)})
    kept = read_env_file(kept_file(Path(data_dir or above.get("DATA_DIR", "data"))))
    return kept | above


def is_setting(name: str) -> bool:
    """Whether ``name`` is a setting of some service, or such a name with ``_FILE``."""
    return name in EVERY_SETTING or name.removesuffix("_FILE") in EVERY_SETTING


def read_env_file(path: Path) -> dict[str, str]:
    """The names and values of a file like ``.env``, without the empty ones; of a missing file, none.

    Raises:
        ValueError: Lines that are no settings; the message says which.
    """
    if not path.is_file():
        return {}
    text = _text_of(path)
    bad = [each.original for each in parse_stream(StringIO(text)) if each.error or (each.key and each.value is None)]
    if bad:
        raise ValueError("\n".join(f"{path}: {_complaint(each)}" for each in bad))
    return {name: value for name, value in dotenv_values(stream=StringIO(text)).items() if value}


def _with_files(values: dict[str, str]) -> dict[str, str]:
    """Replace each ``NAME_FILE`` by ``NAME`` with what the file holds; an empty value is as good as none."""
    read_from_files = {
        name.removesuffix("_FILE"): _secret_in(name, Path(value))
        for name, value in values.items()
        if name.endswith("_FILE") and name not in EVERY_SETTING and value
    }
    return {name: value for name, value in values.items() if value} | read_from_files


def _secret_in(name: str, path: Path) -> str:
    try:
        return _text_of(path).strip()
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _complaint(original: Original) -> str:
    blank = original.string[: -len(original.string.lstrip())]  # the parser takes empty lines and the next as one
    text = original.string.strip()
    shown = "it names a secret" if any(name in text for name in SECRETS) else f"{text!r:.80}"
    return f"line {original.line + blank.count(chr(10))} is not NAME=VALUE: {shown}"


def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name, EVERY_SETTING, 1)
    return f"; did you mean {close[0]}?" if close else ""


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{str(path)!r} is not UTF-8") from None


def _hint(error: ValidationError, kept: Path) -> list[str]:
    """Where something is missing because nothing was ever made here, say where it would be."""
    if kept.is_file() or not any(each["type"] == "missing" for each in error.errors()):
        return []
    here = "" if kept.is_absolute() else " here"
    return [f"no {kept}{here}: run it where `sensorflow up` runs, or give --data-dir"]


def _explain(error: Any) -> str:
    name = ".".join(map(str, error["loc"])).upper()
    if error["type"] == "missing":
        return f"{name}: missing; set it in the environment or .env, or run `sensorflow init`"
    value = "" if "secret" in str(type(error["input"])).lower() or name in SECRETS else f", got {error['input']!r}"
    return f"{name}: {error['msg'].removeprefix('Value error, ')}{value}"
