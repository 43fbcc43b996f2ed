from typing import Any

import pytest

from tests.compose.stack import STACKS, load


@pytest.fixture(params=STACKS)
def stack_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stack(stack_name: str) -> dict[str, Any]:
    return load(stack_name)


@pytest.fixture
def services(stack: dict[str, Any]) -> dict[str, Any]:
    """Of each way of using the compose files."""
    found: dict[str, Any] = stack["services"]
    return found


@pytest.fixture
def plain() -> dict[str, Any]:
    """The services of compose.yaml alone."""
    found: dict[str, Any] = load("plain")["services"]
    return found
