"""An outage as an operator sees it: a real process, its log, and scrape after scrape."""

from pathlib import Path

from tests.faults.brokers import faulty_broker
from tests.processes import Exposition, serving, settings, wait_until, write_config

GOOD = {"Room": 1.0, "Ghost": 0.0}


def test_through_an_outage_presence_is_right_or_missing_and_the_log_has_two_lines(
    tmp_path: Path,
) -> None:
    seen: list[Exposition] = []

    def connected() -> dict[str, float]:
        seen.append(agent.scrape())
        return seen[-1].by("connected", "alias")

    with faulty_broker() as broker:
        config = settings(
            broker.url, prometheus={"ttl_seconds": 0}, polling={"stale_after_seconds": 0.5}
        )
        with serving("prometheus", "--cfg", write_config(tmp_path, config)) as agent:
            wait_until(connected)
            assert seen[-1].by("up", "broker") == {"emqx": 1}
            broker.refuse()
            wait_until(lambda: not connected())
            assert seen[-1].by("up", "broker") == {"emqx": 0}
            assert seen[-1].by("clients", "state")["unknown"] == 2
            broker.recover()
            wait_until(connected)
            assert seen[-1].by("up", "broker") == {"emqx": 1}
            assert seen[-1].by("clients", "state")["unknown"] == 0
            assert agent.stop() == 0
    assert [exposition.by("connected", "alias") for exposition in seen] == [
        GOOD if exposition.of_clients else {} for exposition in seen
    ]
    serves, begin, end, stopping = agent.events
    assert serves["message"].startswith(
        "serving the metrics of 2 monitored clients of emqx on http://127."
    )
    assert (begin["level"], end["level"]) == ("error", "info")
    assert begin["message"].startswith(f"cannot connect to EMQX at {broker.url}v5: ")
    assert end["message"].startswith("EMQX answers again after ")
    assert stopping["message"] == "stopping"
    assert agent.stdout == []
