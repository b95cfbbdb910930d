"""Each fault of the table: exit code and message of ``check``, metrics and log of the agent."""

import errno
import logging
from pathlib import Path

import pytest

from tests.faults.brokers import ROW, faulty_broker
from tests.faults.conftest import Clock
from tests.faults.inprocess import invoke, running
from tests.faults.table import Fault, every_fault
from tests.processes import Exposition, run, scrape, settings, write_config

#: Longer than the default of ``prometheus.ttl_seconds``, and than every pause between failed polls.
NEXT_POLL_SECONDS = 31.0


def failed_polls(exposition: Exposition) -> dict[str, float]:
    """How many polls failed, by reason, without the reasons that did not occur."""
    counts = exposition.by("poll_errors_total", "reason")
    return {reason: count for reason, count in counts.items() if count}


def from_the_agent(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """The log, without its first line and without the lines of libraries."""
    serving, *others = (
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name.startswith("otel_emqx_monitor")
    )
    assert serving[1].startswith(
        "serving the metrics of 2 monitored clients of emqx on http://127.0.0.1:"
    )
    return others


@every_fault
def test_check_says_what_is_wrong_in_one_line_and_ends_with_3(fault: Fault, tmp_path: Path) -> None:
    with fault.good_broker(tmp_path) as broker:
        fault.begin(broker)
        ended = invoke("check", "--cfg", write_config(tmp_path, fault.settings(broker)))
    assert (ended.exit_code, ended.stdout) == (3, "")
    assert ended.stderr.startswith("otel-emqx-monitor: ")
    assert ended.stderr.count("\n") == 1
    assert fault.words in ended.stderr


@every_fault
def test_when_nothing_was_ever_known_nobody_is_called_disconnected(
    fault: Fault, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with fault.good_broker(tmp_path) as broker:
        fault.begin(broker)
        with running(fault.settings(broker)) as url:
            first, second = scrape(url), scrape(url)
    assert first.by("up", "broker") == {"emqx": 0}
    assert failed_polls(first) == {fault.reason: 1}
    assert failed_polls(second) == {fault.reason: 1}, "a failed poll is remembered"
    assert first.by("last_success_timestamp_seconds", "broker") == {}
    assert first.by("clients", "state") == {
        "connected": 0,
        "disconnected": 0,
        "absent": 0,
        "unknown": 2,
    }
    assert first.of_clients == []
    [(level, message)] = from_the_agent(caplog)
    assert level == "ERROR"
    assert fault.words in message
    assert message.endswith("; trying again until it works")


@every_fault
def test_an_outage_keeps_the_last_good_data_until_they_are_stale(
    fault: Fault, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with (
        fault.good_broker(tmp_path) as broker,
        running(fault.settings(broker, polling={"stale_after_seconds": 60})) as url,
    ):
        before = scrape(url)
        assert before.by("connected", "alias") == {"Room": 1, "Ghost": 0}
        assert before.by("up", "broker") == {"emqx": 1}

        fault.begin(broker)
        clock.now += NEXT_POLL_SECONDS
        during = scrape(url)
        assert during.by("up", "broker") == {"emqx": 0}
        assert failed_polls(during) == {fault.reason: 1}
        assert during.of_clients == before.of_clients
        known_since = during.by("last_success_timestamp_seconds", "broker")
        assert known_since == before.by("last_success_timestamp_seconds", "broker")

        clock.now += NEXT_POLL_SECONDS
        stale = scrape(url)
        assert failed_polls(stale) == {fault.reason: 2}
        assert stale.of_clients == []
        assert stale.by("clients", "state")["unknown"] == 2

        broker.recover()
        clock.now += NEXT_POLL_SECONDS
        after = scrape(url)
        assert after.of_clients == before.of_clients
        assert after.by("up", "broker") == {"emqx": 1}
        assert after.by("clients", "state")["unknown"] == 0

    (begin_level, begin), (end_level, end) = from_the_agent(caplog)
    assert (begin_level, end_level) == ("ERROR", "INFO")
    assert fault.words in begin
    assert end.startswith("EMQX answers again after 62 s and 2 failed polls, the last one: ")
    assert fault.words in end


def test_a_row_whose_connected_at_is_null_is_no_failure(tmp_path: Path) -> None:
    with faulty_broker() as broker:
        broker.fleet.replace([{**ROW, "connected_at": None}])
        config = settings(broker.url, clients={"Room": "dev-a"}, prometheus={"enable_dates": True})
        ended = invoke("check", "--cfg", write_config(tmp_path, config))
        with running(config) as url:
            exposition = scrape(url)
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert exposition.by("up", "broker") == {"emqx": 1}
    assert failed_polls(exposition) == {}
    assert exposition.by("connected", "alias") == {"Room": 1}
    assert exposition.by("connected_at", "alias") == {}
    assert exposition.by("created_at", "alias") == {"Room": 1_795_363_200}
    assert exposition.by("messages_processed_total", "direction") == {"rx": 7, "tx": 3}


def test_a_real_process_ends_with_the_same_code_and_line(tmp_path: Path) -> None:
    with faulty_broker() as broker:
        config = write_config(tmp_path, settings(broker.url, clients={"Room": "dev-a"}))
        good = run("check", "--cfg", config)
    refused = run("check", "--cfg", config)
    assert (good.exit_code, good.stderr) == (0, "")
    assert "1 monitored" in good.stdout
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert refused.stderr == (
        f"otel-emqx-monitor: cannot connect to EMQX at {broker.url}v5:"
        f" [Errno {errno.ECONNREFUSED}] Connection refused; check that the broker runs and that"
        " emqx.api_url names its dashboard's host and port\n"
    )
