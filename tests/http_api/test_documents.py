import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette

from http_api import app
from http_api.audit import Audit
from http_api.auth import Guard
from http_api.endpoints import documents
from http_api.keys import Keyring
from http_api.limits import Limit
from http_api.operation import Json
from http_api.static_files import LIBRARIES, SCRIPTS, StaticFiles
from sensorflow.kinds import load_kinds
from tests.e2e.system import ROOT
from tests.http_api.processes import Api
from tests.http_api.requests import assert_problem

PAGES = ("docs", "redoc", "asyncapi")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_and_all_that_it_loads_comes_from_here(api: Api, name: str) -> None:
    page = httpx.get(f"{api.url}/{name}")

    loaded = re.findall(r'(?:src|href|spec-url)="([^"]+)"', page.text)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert len(loaded) >= 3
    for address in loaded:
        assert not address.startswith(("/", "http", "data"))
        assert httpx.get(f"{api.url}/{address}").status_code == 200


@pytest.mark.parametrize("name", PAGES)
def test_a_page_may_load_nothing_from_elsewhere_and_runs_no_script_of_its_own(api: Api, name: str) -> None:
    page = httpx.get(f"{api.url}/{name}")

    policy = dict(rule.split(" ", 1) for rule in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "http" not in page.headers["content-security-policy"]
    assert re.findall(r"<script(?![^>]* src=)", page.text) == []


def test_every_example_of_a_post_is_answered_with_201(api: Api) -> None:
    document = httpx.get(f"{api.url}/openapi.json").json()
    posts = {path: methods["post"] for path, methods in document["paths"].items() if "post" in methods}

    assert "/api/v1/vat" in posts
    for path, post in posts.items():
        for media_type, content in post["requestBody"]["content"].items():
            for example in examples(document, content):
                body = example.encode() if isinstance(example, str) else json.dumps(example).encode()
                response = api.client.post(path, content=body, headers={"Content-Type": media_type})
                assert response.status_code == 201, f"{path} {media_type}: {response.text}"


def examples(document: Json, content: Json) -> list[Any]:
    if "example" in content:
        return [content["example"]]
    schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    found: list[Any] = schema["examples"]
    return found


def test_redoc_tells_nobody_that_it_runs_and_fetches_no_logo(api: Api) -> None:
    for name in ("redoc", "asyncapi"):
        assert 'disable-telemetry="true"' in httpx.get(f"{api.url}/{name}").text
    assert "logo-mini" not in (LIBRARIES / "redoc.standalone.js").read_text()


@pytest.mark.parametrize("path", ["docs", "redoc", "asyncapi", "asyncapi.json", "openapi.json", "static/docs.js"])
def test_head_tells_what_get_would_bring(api: Api, path: str) -> None:
    told, brought = httpx.head(f"{api.url}/{path}"), httpx.get(f"{api.url}/{path}")

    assert told.status_code == 200
    assert told.content == b""
    assert told.headers["content-length"] == str(len(brought.content))


def test_a_file_is_kept_for_ever_by_its_digest_and_else_asked_for_again(api: Api) -> None:
    by_digest = re.findall(r"static/docs\.js\?v=\w+", httpx.get(f"{api.url}/docs").text)[0]

    kept = httpx.get(f"{api.url}/{by_digest}")
    stale = httpx.get(f"{api.url}/static/docs.js?v=0123456789abcdef")
    again = httpx.get(f"{api.url}/static/docs.js", headers={"If-None-Match": stale.headers["etag"]})

    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert stale.headers["cache-control"] == again.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    ["../pages/docs.html", "..%2fpages%2fdocs.html", "%2e%2e/auth.py", "/etc/passwd", "%00", "", ".", "docs.js/"],
)
def test_nothing_but_the_files_can_be_had(api: Api, path: str) -> None:
    response = httpx.get(httpx.URL(api.url, raw_path=f"/static/{path}".encode()))

    assert response.status_code in (404, 200)
    assert "import" not in response.text
    assert response.status_code == 404 or response.headers["content-type"].startswith("text/javascript")


def test_a_file_cannot_be_written(api: Api) -> None:
    response = httpx.post(f"{api.url}/static/docs.js")

    assert_problem(response, 405)
    assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("name", PAGES)
async def test_without_the_libraries_a_page_says_how_to_get_them(tmp_path: Path, name: str) -> None:
    transport = httpx.ASGITransport(without_libraries(tmp_path))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        page = await client.get(f"/{name}")
        document = await client.get("/asyncapi.json")

    assert_problem(page, 404, "make web")
    assert document.status_code == 200


def without_libraries(directory: Path) -> Starlette:
    kinds = load_kinds()
    files = documents.static_files(SCRIPTS, directory / "static")
    return app.build(
        documents.operations(kinds, "1.2.3", files),
        schemas={},
        guard=Guard(
            Keyring(directory, SecretStr("boards"), SecretStr("browsers")),
            Audit(),
            per_key=Limit("key", "off"),
            failures=Limit("failures", "off"),
        ),
        kinds=kinds,
        version="1.2.3",
        more=documents.routes(files),
    )


def test_of_two_files_of_one_name_the_first_directorys_counts(tmp_path: Path) -> None:
    for name, content in {"a": "first", "b": "second"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "twin.js").write_text(content)

    both, first = StaticFiles(tmp_path / "a", tmp_path / "b"), StaticFiles(tmp_path / "a")

    assert both.digest("twin.js") == first.digest("twin.js")
    assert both.digest("absent.js") is None


def test_the_libraries_are_locked_by_content_and_by_no_address() -> None:
    lock = json.loads((ROOT / "web/package-lock.json").read_text())["packages"]

    assert len(lock) > 2
    for name, package in lock.items():
        assert "resolved" not in package
        assert package.get("integrity", "").startswith("sha512-") or name == ""
        assert "node_modules" not in name.removeprefix("node_modules/"), "one version of each"
