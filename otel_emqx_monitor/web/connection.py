"""One connection to the HTTP server, and how long it is waited for.

uvicorn bounds how long a connection may be idle between two requests, and the length of a head. It
waits for ever for a head that is not finished, for a body that nobody reads, and for a client that
does not read its answer. `Connection` puts an end to these.
"""

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass

import h11
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from otel_emqx_monitor.web.door import Places

#: A head may be longer than allowed by less than this.
_PART_BYTES = 4096

#: How long answers under way may take when the server ends, and then the end of connections that
#: are cut off, in seconds.
_FINISH_SECONDS, _CUT_OFF_SECONDS = 1.0, 0.5


@dataclass(frozen=True)
class Patience:
    """How long to wait for a client, in seconds.

    Args:
        head: for the handshake of TLS, and then for the head of a request, from its first byte or
            from the begin of the connection on; also for the rest of a body that is not used.
        answer: until a client has taken the whole answer.
    """

    head: float = 10.0
    answer: float = 60.0


class Connection(H11Protocol):
    """uvicorn's connection with limits.

    Of uvicorn's it uses, beside the methods of ``asyncio.Protocol``, ``cycle`` (the last request),
    ``flow.write_paused``, ``conn`` (h11's state), ``on_response_complete`` and
    ``send_400_response``; no setting of uvicorn does the same.
    """

    def __init__(self, config: uvicorn.Config, state: ServerState, patience: Patience) -> None:
        super().__init__(config, state, {})
        self._patience = patience
        self._head_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None

    def connection_made(  # type: ignore[override] # asyncio's own declaration is too wide
        self, transport: asyncio.Transport
    ) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        # Nothing that is not sent may go unnoticed: "paused" shall mean that there is any.
        transport.set_write_buffer_limits(high=1, low=0)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._end_wait_for_head()
        self._end_wait_for_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client has sent."""
        # h11 looks at the length of a head only while that is not complete, so it gets it in parts.
        while len(data) > _PART_BYTES and not self._answering and not self.transport.is_closing():
            super().data_received(data[:_PART_BYTES])
            data = data[_PART_BYTES:]
        if not self.transport.is_closing():
            super().data_received(data)
        if self._answering:
            self._end_wait_for_head()
        else:
            self._wait_for_head()

    def on_response_complete(self) -> None:
        """Note the end of an answer, as far as this side is concerned."""
        super().on_response_complete()
        if not self.flow.write_paused:
            self._end_wait_for_reader()
        unfinished = self.conn.their_state is h11.SEND_BODY or self.conn.trailing_data[0]
        if unfinished and not self._answering:
            self._wait_for_head()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        if self._answer_timer is None:
            self._answer_timer = self.loop.call_later(self._patience.answer, self._cut_off)

    def resume_writing(self) -> None:
        """Go on with an answer; the time for it goes on too."""
        super().resume_writing()
        if not self._answering:
            self._end_wait_for_reader()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, unless an answer is under way: then end that."""
        if not self._answering:
            super().send_400_response(msg)
            return
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        self._cut_off()

    @property
    def _answering(self) -> bool:
        # uvicorn has no request at first, and says otherwise in its types.
        return bool(self.cycle) and not self.cycle.response_complete

    def _wait_for_head(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self._patience.head, self._cut_off)

    def _end_wait_for_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_wait_for_reader(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    def _cut_off(self) -> None:
        self.transport.abort()


class LimitedServer(uvicorn.Server):
    """uvicorn's server on sockets that listen already, with `Connection` for connections."""

    def __init__(self, config: uvicorn.Config, patience: Patience, places: Places) -> None:
        super().__init__(config)
        self._patience = patience
        self._places = places

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections: as uvicorn does, which cannot limit handshakes of TLS."""
        config = self.config
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        seconds = self._patience.head if config.ssl else None
        self.servers = [
            await loop.create_server(
                lambda: Connection(config, self.server_state, self._patience),
                sock=listening,
                ssl=config.ssl,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=seconds,
                backlog=config.backlog,
            )
            for listening in sockets or ()
        ]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let answers under way finish, then cut off what is left.

        uvicorn logs a traceback of each request that it cancels, and forgets handshakes.
        """
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._wait_for_the_end(_FINISH_SECONDS)
        self._places.cut_off()
        await self._wait_for_the_end(_CUT_OFF_SECONDS)

    async def _wait_for_the_end(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                # Sockets have no event for their end.
                while self._places.taken or self.server_state.tasks:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)


def ending_in_silence(app: ASGIApp) -> ASGIApp:
    """Return ``app`` for a server whose end cancels requests that have been cut off.

    It is no fault of theirs, and nobody is there any more to be answered.
    """

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    return run
