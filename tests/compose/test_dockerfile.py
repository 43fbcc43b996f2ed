"""The Dockerfile: hadolint's rules, and ours."""

import re
import shlex
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.compose.stack import ROOT, load, mounts

TEXT = (ROOT / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BASE = "python:3.13.16-slim-trixie"


def instructions(stage: str | None = None) -> list[tuple[str, str]]:
    """Each as its name and what follows, continued lines joined; of one stage, or all."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", TEXT, flags=re.MULTILINE))
    found = [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]
    starts = {rest.rpartition(" ")[2]: at for at, (name, rest) in enumerate(found) if name == "FROM"}
    if stage is None:
        return found
    return found[starts[stage] : min([at for at in starts.values() if at > starts[stage]], default=len(found))]


def rest_of(stage: str, instruction: str) -> str:
    return next(rest for name, rest in instructions(stage) if name == instruction)


def let_through() -> set[str]:
    return {line[1:] for line in IGNORED.splitlines() if line.startswith("!")}


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), "--failure-threshold=style", ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_each_ignored_rule_has_its_reason_above_it() -> None:
    lines = TEXT.splitlines()
    ignored = [at for at, line in enumerate(lines) if "hadolint ignore" in line]

    assert [lines[at] for at in ignored] == ["# hadolint ignore=DL3008"]
    assert all(lines[at - 1].startswith("# ") for at in ignored)


def test_bases_are_one_slim_image_of_a_patch_version() -> None:
    bases = {rest.split()[0] for name, rest in instructions() if name == "FROM"}

    assert bases == {BASE, "services"}
    assert f"python{BASE[7:11]}/site-packages" in TEXT


def test_nothing_is_installed_that_is_not_locked() -> None:
    installs = [
        part for name, rest in instructions() if name == "RUN" for part in rest.split("&&") if part.split()[0] == "pip"
    ]

    assert len(installs) == 5
    for each in installs:
        assert "--require-hashes" in each or "--no-index" in each, each
        for file in re.findall(r"-r (\S+)", each):
            assert "--hash=sha256:" in (ROOT / file).read_text()


def test_libraries_come_before_the_code() -> None:
    copied = [rest for name, rest in instructions("builder") if name == "COPY"]

    assert copied == ["requirements/ requirements/", ". .", "--from=web /src/http_api/static/ http_api/static/"]


def test_only_what_the_wheel_is_made_of_reaches_the_build() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    files = {"pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]}

    assert next(line for line in IGNORED.splitlines() if not line.startswith("#")) == "*"
    assert let_through() == {
        *wheel["packages"],
        *wheel["force-include"],
        *files,
        "requirements/build.txt",
        "requirements/runtime.txt",
        "requirements/web.txt",
        "web",
    }
    assert all((ROOT / path).exists() for path in let_through())


def test_browser_libraries_are_those_of_the_lock_and_no_leftovers_of_the_machine_that_builds() -> None:
    runs = [rest for name, rest in instructions("web") if name == "RUN"]

    assert runs[-1] == "npm ci --omit=dev && npm run collect"
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["artifacts"] == ["http_api/static"]
    assert {"http_api/static", "web/node_modules"} <= set(IGNORED.splitlines())


def test_image_runs_as_the_user_of_compose() -> None:
    user = rest_of("services", "USER")

    assert user == "10001:10001"
    assert user == load("plain")["services"]["bridge"]["user"]
    assert not any(name == "USER" for name, _ in instructions("all"))


def test_what_it_starts_is_an_http_api_that_is_asked_for_its_health() -> None:
    for name, command in [("ENTRYPOINT", ["sensorflow"]), ("CMD", ["http-api"])]:
        assert yaml.safe_load(rest_of("services", name)) == command
    assert rest_of("services", "HEALTHCHECK").endswith('CMD ["sensorflow", "health", "http-api"]')


def test_labels_say_what_it_is() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', rest_of("services", "LABEL")))

    assert labels["version"] == PROJECT["project"]["version"]
    assert labels["licenses"] == PROJECT["project"]["license"]
    assert {"title", "description"} <= labels.keys()


def test_compose_builds_a_target_that_is_there() -> None:
    build = load("plain")["services"]["init"]["build"]

    assert build["target"] in {rest.rpartition(" ")[2] for name, rest in instructions() if name == "FROM"}


@pytest.mark.parametrize("service", ["init", "bridge"])
def test_volumes_of_our_services_have_directories_of_their_owner(service: str) -> None:
    script = rest_of("services", "RUN")
    made = {path for part in script.split("&&") if "install -d -o 10001" in part for path in shlex.split(part)[7:]}

    written = {path for path, (_, options) in mounts(load("plain")["services"][service]).items() if "ro" not in options}

    assert written <= made


def test_what_is_cut_off_is_there_to_be_cut_off() -> None:
    packages = Path(sysconfig.get_path("purelib"))
    cut = next(rest for name, rest in instructions("builder") if name == "RUN" and rest.startswith("rm -r "))
    moved = next(rest for name, rest in instructions("builder") if "mv _duckdb" in rest)

    for pattern in [*cut.partition("&&")[0].split()[2:], *moved.partition("mv ")[2].split()[:-1]]:
        assert list(packages.glob(pattern)), pattern
