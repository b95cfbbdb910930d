import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from otel_emqx_monitor.config import OtlpConfig
from otel_emqx_monitor.readers.exporter import ExporterError, Result, make_exporter
from otel_emqx_monitor.snapshot import Outcome
from tests.cycles import held_by_cycles
from tests.peers import answering, http, peer, unused_port

EMPTY = b""
SECRET = "hush-4711"


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    log = logging.getLogger("opentelemetry.exporter.otlp")
    level = log.level
    yield
    log.setLevel(level)


def push(
    endpoint: str | None, protocol: str, environ: dict[str, str] | None = None, **settings: Any
) -> Result:
    given = {"endpoint": endpoint, "protocol": protocol, "timeout_seconds": 0.5} | settings
    exporter = make_exporter(OtlpConfig.model_validate(given), environ or {})
    try:
        return exporter.export(EMPTY)
    finally:
        exporter.shutdown()


@contextmanager
def grpc_receiver(
    code: grpc.StatusCode | None, details: str = ""
) -> Iterator[tuple[str, list[Any]]]:
    """Run a receiver that answers every export with ``code``; gives its address and metadata."""
    seen: list[Any] = []

    class Handler(grpc.GenericRpcHandler):
        def service(self, call: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
            seen.append((call.method, dict(call.invocation_metadata)))
            return grpc.unary_unary_rpc_method_handler(self.answer)

        def answer(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
            if code is not None:
                context.abort(code, details)
            return b""

    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads, handlers=[Handler()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"http://127.0.0.1:{port}", seen
        server.stop(None).wait()


def test_grpc_success_with_headers_in_lower_case() -> None:
    with grpc_receiver(None) as (url, seen):
        assert push(url, "grpc", headers={"X-Token": SECRET}) == Result(Outcome.SUCCESS)
    method, metadata = seen[0]
    assert method == "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
    assert metadata["x-token"] == SECRET


TOO_LARGE = "grpc: received message larger than max (5000000 vs. 4194304)"


@pytest.mark.parametrize(
    "code, details, outcome, advice",
    [
        (grpc.StatusCode.UNAUTHENTICATED, "who?", Outcome.REFUSED, "check otlp.headers"),
        (grpc.StatusCode.PERMISSION_DENIED, "", Outcome.REFUSED, "check otlp.headers"),
        (grpc.StatusCode.UNIMPLEMENTED, "", Outcome.REFUSED, "grpc on port 4317"),
        (grpc.StatusCode.INVALID_ARGUMENT, "", Outcome.REFUSED, "the Collector's own log"),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            TOO_LARGE,
            Outcome.REFUSED,
            "the Collector's receiver limit is 4 MiB for gRPC",
        ),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", Outcome.DROPPED, "check that the Collector"),
        (grpc.StatusCode.UNAVAILABLE, "full", Outcome.DROPPED, "check that the Collector runs"),
        (grpc.StatusCode.INTERNAL, "", Outcome.DROPPED, "check that the Collector runs"),
    ],
)
def test_grpc_failures_are_told_apart(
    code: grpc.StatusCode, details: str, outcome: Outcome, advice: str
) -> None:
    with grpc_receiver(code, details) as (url, _):
        result = push(url, "grpc")
    assert result.outcome is outcome
    assert result.text.startswith(f"pushing to the Collector at {url} failed: {code.name}")
    assert details in result.text
    assert advice in result.text


def test_the_reason_of_a_second_refusal_is_known_too() -> None:
    with grpc_receiver(grpc.StatusCode.UNAUTHENTICATED, "first") as (url, _):
        assert "first" in push(url, "grpc").text
    with grpc_receiver(grpc.StatusCode.PERMISSION_DENIED, "second") as (url, _):
        assert "second" in push(url, "grpc").text


def test_http_success_with_headers_at_the_standard_path() -> None:
    with peer(answering(http("200 OK"))) as collector:
        url = collector.url.removesuffix("/api/")
        assert push(url, "http/protobuf", headers={"X-Token": SECRET}) == Result(Outcome.SUCCESS)
    assert collector.requests == ["POST /v1/metrics HTTP/1.1"]
    assert f"x-token: {SECRET}" in collector.heads[0].lower()


@pytest.mark.parametrize(
    "status, outcome, advice",
    [
        ("400 Bad Request", Outcome.REFUSED, "perhaps the request is too large"),
        ("401 Unauthorized", Outcome.REFUSED, "check otlp.headers"),
        ("403 Forbidden", Outcome.REFUSED, "check otlp.headers"),
        ("404 Not Found", Outcome.REFUSED, "http/protobuf on 4318"),
        ("413 Too Large", Outcome.REFUSED, "lower otlp.max_points_per_request"),
        ("429 Too Many Requests", Outcome.DROPPED, "check that the Collector runs"),
        ("500 Oops", Outcome.DROPPED, "check that the Collector runs"),
        ("503 Unavailable", Outcome.DROPPED, "check that the Collector runs"),
    ],
)
def test_http_failures_are_told_apart(status: str, outcome: Outcome, advice: str) -> None:
    with peer(answering(http(status))) as collector:
        result = push(collector.url.removesuffix("/api/"), "http/protobuf")
    assert result.outcome is outcome
    assert f"failed: {status}; " in result.text
    assert advice in result.text


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_nobody_there_is_dropped(protocol: str) -> None:
    result = push(f"http://127.0.0.1:{unused_port()}", protocol, timeout_seconds=0.5)
    assert result.outcome is Outcome.DROPPED
    assert "refused" in result.text


def test_what_the_exporters_log_stays_with_us(caplog: pytest.LogCaptureFixture) -> None:
    push(f"http://127.0.0.1:{unused_port()}", "grpc")
    assert caplog.messages == []


def test_secrets_of_headers_are_never_shown() -> None:
    with grpc_receiver(grpc.StatusCode.UNAUTHENTICATED, f"bad token {SECRET}") as (url, _):
        assert SECRET not in push(url, "grpc", headers={"authorization": SECRET}).text
        bearer = {"authorization": f"Bearer {SECRET}"}
        assert SECRET not in push(url, "grpc", headers=bearer).text
        from_environment = {"OTEL_EXPORTER_OTLP_HEADERS": f"authorization={SECRET}"}
        assert SECRET not in push(url, "grpc", from_environment).text


def test_a_variable_that_an_exporter_refuses_is_one_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli")
    with pytest.raises(ExporterError, match="brotli"):
        make_exporter(OtlpConfig(), {})


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_request_that_fails_is_held_by_nobody(protocol: str) -> None:
    nowhere = f"http://127.0.0.1:{unused_port()}"
    assert push(nowhere, protocol).outcome is Outcome.DROPPED
    assert held_by_cycles(lambda: push(nowhere, protocol)) == []


def test_a_request_that_is_refused_by_grpc_is_held_by_nobody() -> None:
    with grpc_receiver(grpc.StatusCode.UNAUTHENTICATED) as (url, _):
        assert push(url, "grpc").outcome is Outcome.REFUSED
        assert held_by_cycles(lambda: push(url, "grpc")) == []
