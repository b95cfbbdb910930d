"""The simulated broker on a socket: a real HTTP server, in a thread of its own.

It behaves as cowboy does under EMQX where a client can notice: the header ``Server``, connections
kept for 5 s without a request, 414 and a closed connection for a request line over 8,000 bytes.
Where cowboy is lax (some longer lines pass by luck) it is strict. Beside EMQX's API it answers the
control endpoint, see ``control``.
"""

import asyncio
import socket
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Thread
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from otel_emqx_monitor.listening import listen
from otel_emqx_monitor.simulator.answers import REQUEST_LINE_TOO_LONG, Answer
from otel_emqx_monitor.simulator.broker import Broker, Request
from otel_emqx_monitor.simulator.cluster import Hanging, NodeDead
from otel_emqx_monitor.simulator.control import control, is_control
from otel_emqx_monitor.simulator.routes import route

_REQUEST_LINE_BYTES = 8000
_READ_BYTES = 2**20  # cowboy answers 414 to longer lines too, so they have to be read
_KEEP_ALIVE_SECONDS = 5
_THREADS = 16
_LOGGED_REQUESTS = 1000

#: Called with the target of each request, path and query as they were sent. It may block, in a
#: thread of its own, and may return the answer to give in place of the broker's.
BeforeAnswer = Callable[[str], Answer | None]


class Simulator:
    """A broker that listens on ``host`` and ``port``; port 0 takes any free one and keeps it.

    Several of them, each with the ``Broker`` of another node, make the APIs of a whole cluster.
    While the broker's node is frozen nothing is answered, and while it is killed every connection
    is cut; the control endpoint goes on.

    With ``tls``, the paths of the PEM files of a certificate and its key, it speaks HTTPS.
    ``requests`` counts what was asked, by ``Route``; ``request_lines`` holds the latest raw request
    lines, oldest first; both go on over ``stop`` and ``start``. ``before_answer`` may be set at any
    time.
    """

    def __init__(
        self,
        broker: Broker,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: tuple[str, str] | None = None,
        before_answer: BeforeAnswer | None = None,
    ) -> None:
        self.broker = broker
        self.before_answer = before_answer
        self.requests: Counter[str] = Counter()
        self.request_lines: deque[str] = deque(maxlen=_LOGGED_REQUESTS)
        self._host = host
        self._port = port
        self._tls = tls
        self._running: tuple[uvicorn.Server, Thread] | None = None

    @property
    def url(self) -> str:
        """The ``api_url`` to give to the agent; with port 0 it is known after ``start``."""
        scheme = "https" if self._tls else "http"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}/api/"

    def start(self) -> None:
        """Listen and answer until ``stop``.

        Raises ``ListenError``, or ``OSError`` when the PEM files cannot be used.
        """
        if self._running is not None:
            return
        workers = _Workers()
        certfile, keyfile = self._tls or (None, None)
        config = uvicorn.Config(
            partial(self._app, workers),
            interface="asgi3",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=_READ_BYTES,
            ssl_certfile=certfile,
            ssl_keyfile=keyfile,
        )
        config.load()
        [listener, *_] = listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        server = _Server(config, workers)
        thread = Thread(target=server.run, args=([listener],), name="simulated-broker", daemon=True)
        self._running = server, thread
        thread.start()

    def stop(self) -> None:
        """Stop listening and cut every connection at once, answered or not; may be repeated."""
        if self._running is not None:
            server, thread = self._running
            server.should_exit = True
            thread.join()
            self._running = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def _app(self, workers: "_Workers", scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        if body is None:
            return
        request, target = _read(scope, body)
        if is_control(request.path):
            done = control(self.broker.cluster, request.method, request.path, request.query)
            await Response(done.body, done.status, dict(done.headers))(scope, receive, send)
            return
        line = f"{request.method} {target} HTTP/{scope['http_version']}"
        self.request_lines.append(line)
        answer: Answer | None = REQUEST_LINE_TOO_LONG
        gone = asyncio.ensure_future(_disconnect(receive))
        if len(line) <= _REQUEST_LINE_BYTES:
            self.requests[route(request.path)[0]] += 1
            try:
                answer = await self._patiently(workers, request, target, gone)
            except NodeDead:
                self._cut(scope["client"])
                answer = None
        if answer is None:
            await gone
            return
        gone.cancel()
        headers = {"server": "Cowboy", **dict(answer.headers)}
        await Response(answer.body, answer.status, headers)(scope, receive, send)

    async def _patiently(
        self, workers: "_Workers", request: Request, target: str, gone: asyncio.Future[None]
    ) -> Answer | None:
        """Return the answer, which a hanging node can keep back; ``None`` when there will be none.

        What hangs keeps no thread busy. It ends when something befalls a node, when the time is
        over, or when the connection is ``gone``. Raises ``NodeDead``.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        changed = asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(changed.set)

        work = partial(self._answer, request, target)
        with self.broker.cluster.watch(tell):
            while not gone.done():
                changed.clear()
                try:
                    return await workers.run(work)
                except Hanging as hanging:
                    await _first(gone, changed, hanging.seconds)
                waited = loop.time() - began
                work = partial(self.broker.answer, request._replace(waited=waited))
        return None

    def _cut(self, client: tuple[str, int]) -> None:
        """Cut the connection from ``client``, as the kernel does when a process dies."""
        if self._running is not None:
            server, _ = self._running
            for connection in list(server.server_state.connections):
                if isinstance(connection, H11Protocol) and connection.client == client:
                    connection.transport.abort()

    def _answer(self, request: Request, target: str) -> Answer:
        hook = self.before_answer
        instead = hook(target) if hook else None
        return self.broker.answer(request) if instead is None else instead


class _Workers:
    """Threads that find answers, so that one that takes long or blocks holds up no other."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="simulated-broker-worker")
        self._under_way: set[asyncio.Future[Answer]] = set()
        self._abandoned = False

    async def run(self, work: Callable[[], Answer]) -> Answer | None:
        """Return what ``work`` returns, or ``None`` when ``abandon`` comes first or came before."""
        if self._abandoned:
            return None
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        self._under_way.add(future)
        try:
            return await future
        except asyncio.CancelledError:
            return None
        finally:
            self._under_way.discard(future)

    def abandon(self) -> None:
        """Forget all work that is under way; a thread that blocks is left to itself."""
        self._abandoned = True
        for future in list(self._under_way):
            future.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Server(uvicorn.Server):
    """Uvicorn that stops at once instead of waiting for its clients."""

    def __init__(self, config: uvicorn.Config, workers: _Workers) -> None:
        super().__init__(config)
        self._workers = workers

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        self._workers.abandon()
        await super().shutdown(sockets)


async def _disconnect(receive: Receive) -> None:
    """Return when the client has gone, or its connection has been cut."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _first(gone: asyncio.Future[None], changed: asyncio.Event, seconds: float | None) -> None:
    """Return when one of the two has happened, or after ``seconds``."""
    change = asyncio.ensure_future(changed.wait())
    either: list[asyncio.Future[Any]] = [gone, change]
    await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    change.cancel()


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request, ``None`` when the connection ended before it did."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


def _read(scope: Scope, body: bytes) -> tuple[Request, str]:
    """Return the request of an ASGI scope, and its target as it was sent."""
    path, query = scope["raw_path"], scope["query_string"]
    headers = Headers(scope=scope)
    request = Request(
        method=scope["method"],
        path=path,
        query=query,
        authorization=headers.get("authorization"),
        accept=headers.get("accept", ""),
        body=body,
    )
    target = path + b"?" + query if query else path
    return request, target.decode("latin-1")
