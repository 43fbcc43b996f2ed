"""A page of JSON is work of tens of milliseconds, for which no other request should wait."""

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from starlette.requests import Request

from http_api import export_formats
from http_api.endpoints import history
from sensorflow.kinds import Telemetry
from tests.http_api.test_history_walk import Store


async def no_columns(_: object) -> dict[str, str]:
    return {"rpm": "Float64"}


async def test_a_page_of_json_is_made_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    makers: list[int] = []
    rows, dumps = export_formats.rows, orjson.dumps

    class Questions(Store):
        async def ask(self, question: Callable[[], Any]) -> Any:
            return await asyncio.to_thread(question)

    def noted(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any) -> Any:
            makers.append(threading.get_ident())
            return make(*args)

        return made

    monkeypatch.setattr(export_formats, "rows", noted(rows))
    monkeypatch.setattr("http_api.answers.orjson", SimpleNamespace(dumps=noted(dumps)))
    questions = cast("Any", Questions(3))
    parts = history.History(
        {"telemetry": Telemetry}, questions, cast("Any", SimpleNamespace(of=no_columns)), cast("Any", None)
    )
    _, many = history.operations(parts)

    request = Request({"type": "http", "method": "GET", "path": many.path, "query_string": b"", "headers": []})
    answer = await many.serve(request)

    assert [row["id"] for row in orjson.loads(answer.body)["rows"]] == [0, 1, 2]
    assert len(makers) == 2
    assert threading.get_ident() not in makers
