"""Who gets in: the token under any of three schemes, and what is said to everybody else."""

import base64

import pytest

from tests.contract.target import Target

PATHS = [
    ("POST", "/api/v3/write_lp"),
    ("POST", "/api/v2/write"),
    ("GET", "/api/v3/query_sql"),
    ("GET", "/api/v3/configure/database"),
]
MALFORMED = "Authorization header was malformed"


def basic(user_and_password: str) -> str:
    return "Basic " + base64.b64encode(user_and_password.encode()).decode()


@pytest.mark.parametrize("scheme", ["Bearer", "Token", "Basic"])
def test_token_opens_under_each_scheme(target: Target, scheme: str) -> None:
    header = basic(f"anybody:{target.token}") if scheme == "Basic" else f"{scheme} {target.token}"

    answer = target.http(
        "GET", "/api/v3/query_sql", authorization=header, params={"db": target.database, "q": "SELECT 1 AS n"}
    )

    assert answer.json() == [{"n": 1}]


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize("header", ["", "Bearer apiv3_unknown", "Token apiv3_unknown", basic("x:apiv3_unknown")])
def test_without_the_token_it_is_401(target: Target, method: str, path: str, header: str) -> None:
    answer = target.http(method, path, authorization=header, params={"db": target.database, "bucket": target.database})

    assert (answer.status_code, answer.json()) == (401, {"error": "the request was not authenticated"})


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "{}",
        "bearer {}",
        "Other {}",
        "Bearer {} more",
        "Basic {}",
        "Basic %%%",
        basic("no colon"),
        basic("a:b:c"),
    ],
)
def test_malformed_header_is_400(target: Target, method: str, path: str, header: str) -> None:
    answer = target.http(method, path, authorization=header.replace("{}", target.token))

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(MALFORMED)
