"""A TCP proxy between a client and a server that can cut, stall, and tell what went through."""

import asyncio
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards connections to ``target_port`` of this machine, until told otherwise.

    ``sent`` holds what the clients sent, ``received`` what the server answered: a string of bytes for each connection.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: list[asyncio.StreamWriter] = []
        self.sent: list[bytearray] = []
        self.received: list[bytearray] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        self._flows.set()
        await self._server.wait_closed()

    def cut(self) -> None:
        """End all connections without a word."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def stall(self) -> None:
        """Keep connections open and forward nothing more: half-open, as seen from either side."""
        self._flows.clear()

    def flow(self) -> None:
        """Forward again."""
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers += [writer, onward_writer]
        self.sent.append(bytearray())
        self.received.append(bytearray())
        await asyncio.gather(
            self._pump(reader, onward_writer, self.sent[-1]),
            self._pump(onward_reader, writer, self.received[-1]),
        )

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: bytearray) -> None:
        try:
            while data := await reader.read(65_536):
                await self._flows.wait()
                seen += data
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
