"""Receivers of OTLP that answer as a test wants it, over real sockets, in both protocols."""

import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import Any, NamedTuple

import grpc
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # no stubs

from tests.collector.pushing import GRPC
from tests.peers import http, peer


class Answer(NamedTuple):
    """What a receiver says in HTTP and in gRPC; ``retry_after`` is in seconds."""

    status: str
    code: grpc.StatusCode
    retry_after: int | None = None


TAKEN = Answer("200 OK", grpc.StatusCode.OK)
UNAUTHENTICATED = Answer("401 Unauthorized", grpc.StatusCode.UNAUTHENTICATED)
BUSY = Answer("429 Too Many Requests", grpc.StatusCode.RESOURCE_EXHAUSTED)
UNAVAILABLE = Answer("503 Service Unavailable", grpc.StatusCode.UNAVAILABLE)


@dataclass
class Receiver:
    """Answers each request with what ``answer`` makes of its headers (names in small letters).

    ``requests`` has the headers of all requests that have come in.
    """

    answer: Callable[[Mapping[str, str]], Answer] = lambda _: TAKEN
    endpoint: str = ""
    requests: list[Mapping[str, str]] = field(default_factory=list)

    def take(self, headers: Mapping[str, str]) -> Answer:
        self.requests.append(headers)
        return self.answer(headers)


@contextmanager
def receiver(protocol: str) -> Iterator[Receiver]:
    """Run a receiver that takes everything, until its ``answer`` is replaced."""
    receiving = Receiver()
    with (_by_grpc if protocol == GRPC else _by_http)(receiving):
        yield receiving


@contextmanager
def _by_http(receiving: Receiver) -> Iterator[None]:
    def handle(connection: socket.socket, head: bytes) -> None:
        parsed = message_from_bytes(head.partition(b"\r\n")[2])
        headers = {name.lower(): str(value) for name, value in parsed.items()}
        left = int(headers["content-length"])
        while left:
            left -= len(connection.recv(left))
        said = receiving.take(headers)
        wait = [] if said.retry_after is None else [f"Retry-After: {said.retry_after}"]
        connection.sendall(http(said.status, b"", *wait))

    with peer(handle) as listening:
        receiving.endpoint = listening.url.removesuffix("/api/")
        yield


@contextmanager
def _by_grpc(receiving: Receiver) -> Iterator[None]:
    class Handler(grpc.GenericRpcHandler):
        def service(self, call: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
            headers = {name: str(value) for name, value in call.invocation_metadata}

            def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
                said = receiving.take(headers)
                if said.retry_after is not None:
                    wait = RetryInfo(retry_delay={"seconds": said.retry_after})
                    name = "google.rpc.retryinfo-bin"
                    context.set_trailing_metadata(((name, wait.SerializeToString()),))
                if said.code is not grpc.StatusCode.OK:
                    context.abort(said.code, said.status)
                return b""

            return grpc.unary_unary_rpc_method_handler(answer)

    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads, handlers=[Handler()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        receiving.endpoint = f"http://127.0.0.1:{port}"
        try:
            yield
        finally:
            server.stop(None).wait()
