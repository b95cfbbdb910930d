"""Receivers that want the agent to wait, or to say who it is; and that tell nobody's secrets."""

import logging
from collections.abc import Iterator, Mapping

import grpc
import pytest
import requests

from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from tests.collector.pushing import (
    HTTP,
    both_protocols,
    exports,
    pushing,
    pushing_config,
    said,
    wait_for_exports,
)
from tests.collector.receivers import (
    BUSY,
    TAKEN,
    UNAUTHENTICATED,
    UNAVAILABLE,
    Answer,
    receiver,
)
from tests.faults.secrets import Credentials
from tests.processes import PATIENCE_SECONDS, wait_until

#: Longer than a request may take: to come back later is for the next push.
LATER = 3600

SECRETS = Credentials("tenant-5e0c1f-marigold", "s3cr3t-77ab90-gardenia")
HEADERS = {"X-Tenant": SECRETS.key, "Authorization": f"Bearer {SECRETS.secret}"}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(Broker(source=StaticFleet([{"clientid": "a", "connected": True}]))) as running:
        yield running


@both_protocols
@pytest.mark.parametrize("busy", [BUSY, UNAVAILABLE], ids=lambda answer: answer.status)
def test_a_request_is_repeated_when_the_receiver_wants_it(
    protocol: str, busy: Answer, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answers = [busy._replace(retry_after=0), busy._replace(retry_after=0)]
    with receiver(protocol) as collector:
        collector.answer = lambda _: answers.pop() if answers else TAKEN
        config = pushing_config(
            simulator,
            ["a"],
            protocol=protocol,
            endpoint=collector.endpoint,
            interval_seconds=3600,
            timeout_seconds=PATIENCE_SECONDS,
        )
        with pushing(config) as agent:
            wait_until(lambda: exports(agent, "success"))
            assert len(collector.requests) == 3
            assert exports(agent, "dropped") == exports(agent, "refused") == 0
            assert said(caplog) == []


@both_protocols
@pytest.mark.parametrize("busy", [BUSY, UNAVAILABLE], ids=lambda answer: answer.status)
def test_a_receiver_that_wants_to_be_left_alone_is_asked_once_a_push(
    protocol: str, busy: Answer, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with receiver(protocol) as collector:
        collector.answer = lambda _: busy._replace(retry_after=LATER)
        config = pushing_config(simulator, ["a"], protocol=protocol, endpoint=collector.endpoint)
        with pushing(config) as agent:
            during = wait_for_exports(agent, "dropped", 5)
            dropped = during.by("otlp_exports_total", "outcome")["dropped"]
            assert dropped <= len(collector.requests) <= exports(agent, "dropped") + 1
            collector.answer = lambda _: TAKEN
            wait_for_exports(agent, "success")
            begin, end = said(caplog)
    assert during.by("connected", "client_id") == {"a": 1}
    assert begin.startswith(f"pushing to the Collector at {collector.endpoint}")
    assert busy.status.partition(" ")[2] in begin, "it says what the receiver said"
    assert end.startswith("the Collector takes data again after ")


def test_a_redirect_is_no_success(simulator: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    """Proxies send those without a login to their page for it; the data would be lost silently."""
    caplog.set_level(logging.INFO)
    with receiver(HTTP) as collector:
        collector.answer = lambda _: Answer("302 Found", grpc.StatusCode.OK)
        config = pushing_config(simulator, ["a"], protocol=HTTP, endpoint=collector.endpoint)
        with pushing(config) as agent:
            wait_until(lambda: len(collector.requests) >= 3)
            assert exports(agent, "success") == 0
            [begin] = said(caplog)
    assert "302 Found" in begin
    assert "otlp.endpoint" in begin


@both_protocols
def test_a_receiver_that_wants_other_credentials_gets_them_and_no_log_does(
    protocol: str, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    known: set[str] = set()

    def check(headers: Mapping[str, str]) -> Answer:
        given = headers.get("authorization", ""), headers.get("x-tenant", "")
        if given == (HEADERS["Authorization"], SECRETS.key) and SECRETS.key in known:
            return TAKEN
        # An answer that quotes what it was given, as some proxies do.
        quoted = " ".join(given).removeprefix("Bearer ")
        return UNAUTHENTICATED._replace(status=f"401 Unknown {quoted}")

    with receiver(protocol) as collector:
        collector.answer = check
        config = pushing_config(
            simulator, ["a"], protocol=protocol, endpoint=collector.endpoint, headers=HEADERS
        )
        with pushing(config) as agent:
            refused = wait_for_exports(agent, "refused")
            pages = [requests.get(agent.url + page, timeout=10).text for page in ("", "metrics")]
            known.add(SECRETS.key)
            accepted = wait_for_exports(agent, "success")
            begin, end = said(caplog)
    assert refused.by("connected", "client_id") == {"a": 1}
    assert refused.by("otlp_points_total", "outcome")["refused"] > 0
    assert accepted.by("otlp_last_success_timestamp_seconds", "broker").keys() == {"simulated"}
    assert "check otlp.headers" in begin
    assert end.startswith("the Collector takes data again after ")
    for text in (begin, end, caplog.text, refused.text, accepted.text, *pages, repr(config)):
        assert SECRETS.found_in(text) == set()
