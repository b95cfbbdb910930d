"""The fault lab: the agent as a process, through each fault of the matrix."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_emqx_monitor.simulator import StaticFleet
from tests.faults.lab import page
from tests.faults.lab.book import Book, Told
from tests.faults.lab.devices import STEADY, Devices
from tests.faults.lab.fault import Fault
from tests.faults.lab.matrix import FAULTS
from tests.faults.lab.readers import Readers, readers
from tests.faults.lab.running import require, run


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Readers]:
    with readers(tmp_path_factory.mktemp("readers")) as running:
        yield running


@pytest.mark.real("prometheus")
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_nothing_is_lost_and_nothing_untrue_is_said(
    fault: Fault, both: Readers, tmp_path: Path
) -> None:
    require(fault)
    run(fault, both, tmp_path)


def test_the_page_has_every_fault_as_it_is_and_no_other() -> None:
    text = page.PAGE.read_text()
    rows = page.rows_in(text)
    faults = [[fault.name, fault.how, fault.presence] for fault in FAULTS]
    assert [[name, how, clients] for name, how, _, clients, *_ in rows] == faults, (
        "run scripts/fault-lab --write"
    )
    assert text.startswith(page.head(len(FAULTS)))
    assert len({name for name, *_ in rows}) == len(FAULTS)


@pytest.mark.parametrize(
    "line, short",
    [
        (
            "error: EMQX at http://127.0.0.1:4711/api/v5 did not answer within 1 s; raise it",
            "error: EMQX at … did not answer within 1 s",
        ),
        (
            "info: EMQX answers again after 2 s and 3 failed polls",
            "info: EMQX answers again after …",
        ),
        ("error: file /tmp/a/state/state.db: full", "error: file state.db: full"),
    ],
)
def test_lines_of_the_page_do_not_differ_from_run_to_run(line: str, short: str) -> None:
    assert page.shortened(line) == short


def test_the_lab_would_notice_a_counter_that_falls_and_an_untruth() -> None:
    devices, book = Devices(StaticFleet()), Book("a scrape")
    received = "messages_processed", STEADY, "rx"
    book.note(Told({received: 2.0}, {STEADY: True}))
    assert book.wrongs(devices) == []
    book.note(Told({}, {}))
    book.note(Told({received: 1.0}, {STEADY: False}))
    assert book.wrongs(devices) == [
        "a scrape: ('messages_processed', 'steady', 'rx') fell from 2 to 1",
        "a scrape: steady was said to be connected, then away, and was connected",
    ]
