"""The edge of the HTTP server: the limits that uvicorn does not have, held before memory or patience is spent.

    connected -> waiting for a request -> with the application -> answered -> waiting ...

The rule that keeps it simple: who is waited for, since its connect, the first byte of its request or its last answer,
stands in one row, the longest waiting first. At its deadline it is closed; where there are too many connections, the
first of the row goes, so that a thousand who send nothing cannot keep out one who does.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from http_api import envelope, problems, server_time, unreadable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Mapping

# Request line and headers; also what may stand between two bytes of a body (chunk extensions) and behind it (trailers).
# A board sends 200 bytes, a browser with a stranger's cookies up to 8 KiB.
MAX_HEAD_BYTES = 16_384
MAX_HEADERS = 100  # a browser sends 20; the WebSocket library gives up at 128
MAX_BODY_BYTES = 65_536  # 500 times a reading
# Where a body is many readings. The application takes it as it comes, and no more of them than it has room for
# (http_api/batch_body.py); of one that it does not take, this server reads 64 KiB and waits.
BATCH_PATHS = frozenset({b"/api/v1/readings", b"/api/v1/readings/line-protocol"})
MAX_BATCH_BYTES = 4 * 2**20
MAX_PIPELINED = 10  # requests of one connection that wait for the answer to the one before; each takes about 3 KiB
# For the whole of a request to come, head and body: 64 KiB at 64 kbit/s. With the sweep and a busy machine below 10 s.
# Of a batch, for each 64 KiB.
RECEIVE_TIMEOUT_S = 8.0
# Without the client having taken a byte of its answers. But for an export one answer fits into the kernel's buffers, so
# this is for those who ask and ask and do not listen, and those who stop in the middle of an export.
SEND_TIMEOUT_S = 5.0
# After a refusal, for the client to read it before unread bytes of its own make the kernel reset the connection.
LINGER_S = 1.0
# Boards connect for each reading, or keep a connection: a thousand at once is a large plant. Each may cost us its head
# and its body in memory, all of them 100 MB.
MAX_CONNECTIONS = 1000
SWEEP_S = 1.0
WARN_EVERY_S = 60.0

_log = logging.getLogger("http_api")


class Edge:
    """What all connections of one server share.

    Args:
        max_connections: At once, WebSockets among them.
    """

    def __init__(self, max_connections: int = MAX_CONNECTIONS) -> None:
        self.max_connections = max_connections
        self.refused = 0
        """Requests, or the lack of them, that never reached the application."""
        self._waiting: dict[Connection, float] = {}  # in the order of since when
        self._swept_s = 0.0
        self._warned_s = -WARN_EVERY_S

    def protocol(self) -> type[Connection]:
        """For uvicorn, which makes one for each connection."""

        class EdgeConnection(Connection):
            edge = self

        return EdgeConnection

    def waits(self, connection: Connection, now_s: float) -> None:
        """A whole request is waited for, from now on."""
        self._waiting.pop(connection, None)
        self._waiting[connection] = now_s

    def waits_no_more(self, connection: Connection) -> None:
        """The request has come, or nobody cares any more."""
        self._waiting.pop(connection, None)

    def make_room(self, connections: int, now_s: float) -> None:
        """One has come on top: where that is one too many, the longest waiting goes, which may be the one who came."""
        if connections <= self.max_connections:
            return
        if now_s - self._warned_s >= WARN_EVERY_S:
            self._warned_s = now_s
            _log.warning("more than %d connections: the longest silent are closed", self.max_connections)
        next(iter(self._waiting)).give_way()

    def sweep(self, connections: Iterable[Any], now_s: float) -> None:
        """Close what is late; to be called several times a second."""
        while self._waiting and now_s - next(iter(self._waiting.values())) >= RECEIVE_TIMEOUT_S:
            next(iter(self._waiting)).is_late()
        if now_s - self._swept_s >= SWEEP_S:
            self._swept_s = now_s
            for connection in list(connections):
                if isinstance(connection, Connection):
                    connection.check_progress(now_s)


class Connection(HttpToolsProtocol):
    """One client: uvicorn's connection, within the limits above."""

    edge: Edge

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._has_begun = False  # whether a request has, of which not all is here
        self._is_in_head = True
        self._declared_bytes = 0
        self._ended_in_cr = False  # the packet before
        self._takes_bare_lf = True
        self._most_body_bytes = MAX_BODY_BYTES
        self._unanswered: deque[RequestResponseCycle] = deque()  # what uvicorn was given to answer, in order
        self._overhead_bytes = 0  # since the request began, or the last byte of its body
        self._body_bytes = 0
        self._refusal: tuple[int, str] | None = None
        self._left_s: float | None = None  # since when there is nothing more to say
        self._discarded_bytes = 0
        self._unsent_bytes = 0
        self._moved_s = 0.0  # when the client last took bytes, or had none to take

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """Wait for a request."""
        super().connection_made(transport)
        now_s = self._moved_s = self.loop.time()
        self.edge.waits(self, now_s)
        self.edge.make_room(len(self.connections), now_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn does it."""
        self.edge.waits_no_more(self)
        self._forget_answers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As uvicorn does it, with the limits, and without a line in the log for whatever strangers send."""
        if self._left_s is not None:
            self._discard(data)
            return
        self._unset_keepalive_if_required()
        self._overhead_bytes += len(data)
        self._look_at_line_ends(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._refuse(*(self._refusal or (400, unreadable.reason(data, str(error)))))
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.edge.waits_no_more(self)
                self.handle_websocket_upgrade()
            else:
                self.cycle.keep_alive = False  # the parser takes nothing more; nobody has to be offered h2c
        else:
            if self._has_begun and self._overhead_bytes > MAX_HEAD_BYTES:
                self._refuse(431, f"head of more than {MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        """A request begins."""
        if len(self.pipeline) >= MAX_PIPELINED:
            self._stop(429, f"{MAX_PIPELINED} requests are waiting for their answers")  # which are all it will get
        super().on_message_begin()
        self._has_begun = self._is_in_head = True
        self._body_bytes = self._declared_bytes = 0
        self._set_leniency(self._takes_bare_lf)
        self.edge.waits(self, self.loop.time())

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; a trailer, which comes after the body, is nobody's business."""
        if not self._is_in_head:
            return
        if len(self.headers) >= MAX_HEADERS:
            self._stop(431, f"more than {MAX_HEADERS} headers")
        super().on_header(name, value.rstrip(b" \t"))  # which are no part of it (RFC 9110, 5.5), and left on by llhttp

    def on_headers_complete(self) -> None:
        """Start the application, where the head is one that may be."""
        head_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if head_bytes > MAX_HEAD_BYTES:
            self._stop(431, f"head of {head_bytes} bytes, at most {MAX_HEAD_BYTES}")
        declared = next((value for name, value in self.headers if name == b"content-length"), b"0")
        # The parser lets nothing but digits through; the count comes first because int() of very many is slow.
        is_batch = self.url.partition(b"?")[0] in BATCH_PATHS and self.parser.get_method() == b"POST"
        self._most_body_bytes = MAX_BATCH_BYTES if is_batch else MAX_BODY_BYTES
        if len(declared) > 10 or int(declared) > self._most_body_bytes:
            self._stop(413, f"body of {declared[:30].decode()} bytes, at most {self._most_body_bytes}")
        self._declared_bytes = int(declared)
        self._set_leniency(False)
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self._unanswered.append(self.cycle)
        self._is_in_head = False
        self._overhead_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Hand it on, while it is not too much; what comes after the answer counts too, and is forgotten."""
        self._overhead_bytes = 0
        pieces = self._body_bytes // MAX_BODY_BYTES
        self._body_bytes += len(body)
        if self._body_bytes > self._most_body_bytes:
            self._stop(413, f"body of more than {self._most_body_bytes} bytes")
        if self._body_bytes // MAX_BODY_BYTES > pieces and not self.cycle.response_complete:
            self.edge.waits(self, self.loop.time())  # of a batch that makes progress, and that somebody takes
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of a request is here."""
        super().on_message_complete()
        self._has_begun = False
        self._overhead_bytes = 0
        self.edge.waits_no_more(self)
        self._wait_for_the_next()

    def on_response_complete(self) -> None:
        """One request is answered."""
        self._unanswered.popleft()
        super().on_response_complete()
        self._wait_for_the_next()

    def give_way(self) -> None:
        """Go, for want of room."""
        # Between two requests a client knows what it means when the server closes; one that sent nothing yet does not.
        if self._has_begun or self.cycle is None:
            headers = {"Retry-After": problems.retry_after_s()}
            self._refuse(503, f"more than {self.edge.max_connections} connections", headers)
        if not self._unanswered:
            self._leave()
            self.transport.close()

    def is_late(self) -> None:
        """Go, because no whole request came in time."""
        if self._has_begun:
            missing = ""
            if self._declared_bytes and not self._is_in_head:
                missing = f": {self._body_bytes} of {self._declared_bytes} bytes of the body came"
            self._refuse(408, f"no complete request within {RECEIVE_TIMEOUT_S:g} s{missing}")
        else:
            self._leave()

    def resume_writing(self) -> None:
        """As uvicorn does it: the client has taken nearly all there was, and a long answer goes on."""
        self._moved_s = self.loop.time()  # the next piece may hide it: there is as much unsent as before
        super().resume_writing()

    def check_progress(self, now_s: float) -> None:
        """Give up a client that does not take its answer, or does not go when it was told to."""
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes == 0 or unsent_bytes < self._unsent_bytes:
            self._moved_s = now_s
        self._unsent_bytes = unsent_bytes
        has_lingered = self._left_s is not None and now_s - self._left_s >= LINGER_S
        if has_lingered or now_s - self._moved_s >= SEND_TIMEOUT_S:
            self._forget_answers()
            self.transport.abort()

    def _look_at_line_ends(self, data: bytes) -> None:
        """A board may end the lines of its head with LF alone, but never with CR alone (RFC 9112, 2.2).

        What takes the one takes the other, too, so the parser is strict where there is such a CR; and in chunks, where
        either could hide a request from a proxy.
        """
        has_lone_cr = self._ended_in_cr and not data.startswith(b"\n")
        self._ended_in_cr = data.endswith(b"\r")  # of which the next packet tells
        if b"\r" in data:
            has_lone_cr |= data.count(b"\r") > data.count(b"\r\n") + self._ended_in_cr
        self._takes_bare_lf = not has_lone_cr
        self._set_leniency(self._is_in_head and self._takes_bare_lf)

    def _set_leniency(self, takes_bare_line_ends: bool) -> None:  # noqa: FBT001 - it has nothing else to set
        self.parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=takes_bare_line_ends, lenient_optional_lf_after_cr=takes_bare_line_ends
        )

    def _wait_for_the_next(self) -> None:
        if not self._has_begun and not self._unanswered and self._left_s is None:
            self.edge.waits(self, self.loop.time())

    def _stop(self, status: int, detail: str) -> None:
        """End the parser's work, from within: it passes on no exception of ours, but its own."""
        self._refusal = (status, detail)
        raise ValueError(detail)

    def _refuse(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        """Answer in the application's place, if it is this request's turn and it has no answer yet; and leave."""
        self.edge.refused += 1
        has_application = self._has_begun and not self._is_in_head
        is_answered = has_application and self.cycle.response_started
        if len(self._unanswered) > (has_application and not self.cycle.response_complete):
            self._close_after_the_last()
            return
        if not is_answered and not self.transport.is_closing():
            self.transport.write(self._raw(problems.problem(status, detail, headers), detail))
        self._forget_answers()
        self._leave()

    def _forget_answers(self) -> None:
        """Nobody is there to take them. uvicorn tells only the last request's; an earlier one would be an ERROR."""
        self.pipeline.clear()
        for cycle in self._unanswered:
            cycle.disconnected = True
            cycle.message_event.set()
        self._unanswered.clear()

    def _close_after_the_last(self) -> None:
        """An earlier request has to be answered first, and nothing can be said after it."""
        self._left_s = self.loop.time() + RECEIVE_TIMEOUT_S
        self.cycle.keep_alive = False
        self.edge.waits_no_more(self)

    def _leave(self) -> None:
        """Say nothing more, and for a moment read on, so that what was said arrives."""
        self.edge.waits_no_more(self)
        if self._left_s is None:
            self._left_s = self.loop.time()
            if not self.transport.is_closing():
                self.transport.write_eof()

    def _discard(self, data: bytes) -> None:
        self._discarded_bytes += len(data)
        if self._discarded_bytes > MAX_BODY_BYTES:  # a client that hears nothing is not worth the reading
            self.flow.pause_reading()

    def _raw(self, problem: problems.Problem, detail: str) -> bytes:
        """All of it in bytes; the first line says why too, as a board may read no other."""
        accept = next((value for name, value in self.headers or () if name == b"accept"), b"")
        response = problem.as_asked_for(accept)
        more = [server_time.header(), *envelope.raw(), (b"connection", b"close")]
        headers = [*self.server_state.default_headers, *response.raw_headers, *more]
        head = b"".join([name + b": " + value + b"\r\n" for name, value in headers])
        first = f"HTTP/1.1 {response.status_code} {detail}\r\n".encode("ascii", "replace")
        return first + head + b"\r\n" + bytes(response.body)
