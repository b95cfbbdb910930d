import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from otel_emqx_monitor.events.event import Event, Kind, Source
from otel_emqx_monitor.events.inbox import Inbox, InboxView, Limits
from tests.processes import wait_until

NOW = 1_000_000.0


def connected(client_id: str = "dev-a", at: float = NOW) -> bytes:
    """A post that says that a client has connected at ``at``, seconds since the epoch."""
    ms = int(at * 1000)
    event = {
        "event": "client.connected",
        "clientid": client_id,
        "timestamp": ms,
        "connected_at": ms,
    }
    return json.dumps(event).encode()


def presence(client_id: str) -> bytes:
    """The payload of a message under ``$SYS``."""
    return json.dumps({"clientid": client_id, "ts": 5, "connected_at": 5}).encode()


class Applier:
    """Keeps what it is given, and can be held up."""

    def __init__(self) -> None:
        self.batches: list[list[Event]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.called = threading.Event()
        self.bug: Exception | None = None

    def __call__(self, events: Sequence[Event]) -> None:
        self.called.set()
        assert self.may_go_on.wait(20)
        self.batches.append(list(events))
        if self.bug:
            raise self.bug

    @property
    def client_ids(self) -> list[str]:
        return [event.client_id for batch in self.batches for event in batch]


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@contextmanager
def running(
    apply: Callable[[Sequence[Event]], None],
    limits: Limits | None = None,
    clock: Callable[[], float] = Clock(),  # noqa: B008 (nobody sets this one)
) -> Iterator[Inbox]:
    inbox = Inbox(apply, limits=limits or Limits(), clock=clock)
    inbox.start()
    yield inbox
    inbox.stop(10)


def count(view: InboxView, source: Source) -> dict[str, int]:
    """What of one source has been counted, without zeros."""
    return {str(what): n for (one, what), n in view.counts.items() if one is source and n}


def test_events_are_applied_in_the_order_of_the_bodies() -> None:
    applier = Applier()
    with running(applier) as inbox:
        for number in range(500):
            assert inbox.offer(Source.WEBHOOK, connected(f"dev-{number}"))
    assert applier.client_ids == [f"dev-{number}" for number in range(500)]
    assert all(applier.batches)


def test_what_waits_is_applied_in_few_batches() -> None:
    applier = Applier()
    applier.may_go_on.clear()
    with running(applier) as inbox:
        inbox.offer(Source.WEBHOOK, connected("first"))
        assert applier.called.wait(20)
        for number in range(900):
            inbox.offer(Source.WEBHOOK, connected(f"dev-{number}"))
        applier.may_go_on.set()
    assert [len(batch) for batch in applier.batches] == [1, 900]


def test_everything_is_counted_by_source_and_kind() -> None:
    applier = Applier()
    with running(applier) as inbox:
        inbox.offer(Source.WEBHOOK, b"[" + connected() + b"," + connected() + b", 5]")
        inbox.offer(Source.WEBHOOK, b'{"event": "client.connack"}')
        inbox.offer(Source.WEBHOOK, b"{")
        inbox.offer(Source.MQTT, presence("dev-b"), "brokers/n/clients/dev-b/disconnected")
        inbox.offer(Source.MQTT, b"{}", "brokers/n/clients/dev-b/connected")
        inbox.offer(Source.MQTT, b"{}", "brokers/n/clients/dev-b/subscribed")
    view = inbox.view()
    assert count(view, Source.WEBHOOK) == {"connected": 2, "ignored": 1, "malformed": 2}
    assert count(view, Source.MQTT) == {"disconnected": 1, "ignored": 1, "malformed": 1}
    assert [event.kind for batch in applier.batches for event in batch] == [
        Kind.CONNECTED,
        Kind.CONNECTED,
        Kind.DISCONNECTED,
    ]


def test_counts_begin_at_zero_for_what_a_source_can_bring() -> None:
    view = Inbox(Applier(), [Source.MQTT]).view()
    assert view.counts == {
        (Source.MQTT, what): 0
        for what in ("connected", "disconnected", "ignored", "malformed", "lost", "failed")
    }
    assert (view.lag, view.last_delivery, view.waiting) == ({}, {}, 0)
    assert len(Inbox(Applier()).view().counts) == 6 + 11


@pytest.mark.parametrize(
    "limits", [Limits(bodies=3), Limits(size=3 * len(connected()))], ids=["bodies", "bytes"]
)
def test_what_does_not_fit_is_refused_and_a_message_then_is_lost(limits: Limits) -> None:
    applier = Applier()
    applier.may_go_on.clear()
    with running(applier, limits) as inbox:
        assert inbox.offer(Source.WEBHOOK, connected())
        assert applier.called.wait(20)
        assert [inbox.offer(Source.WEBHOOK, connected()) for _ in range(5)] == [True] * 3 + [
            False
        ] * 2
        message = presence("x" * len(connected()))
        assert not inbox.offer(Source.MQTT, message, "brokers/n/clients/x/connected")
        assert inbox.view().waiting == 3
        applier.may_go_on.set()
        wait_until(lambda: inbox.view().waiting == 0)
        assert inbox.offer(Source.WEBHOOK, connected())
    assert count(inbox.view(), Source.WEBHOOK) == {"connected": 5}
    assert count(inbox.view(), Source.MQTT) == {"lost": 1}


def test_a_bug_in_applying_is_logged_once_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    applier = Applier()
    applier.bug = KeyError("\x1b[31m")
    with running(applier) as inbox:
        for _ in range(3):
            applier.called.clear()
            inbox.offer(Source.WEBHOOK, connected())
            assert applier.called.wait(20)
            wait_until(
                lambda: count(inbox.view(), Source.WEBHOOK).get("failed") == len(applier.batches)
            )
        applier.bug = None
        inbox.offer(Source.WEBHOOK, connected())
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR", "INFO"]
    bug, outage, recovery = caplog.messages
    assert bug == "events cannot be applied because of a bug of this program"
    assert outage == "applying events failed: KeyError('\\x1b[31m'); trying again until it works"
    assert recovery.startswith("events are applied again after 0 s and 3 batches that failed")
    assert count(inbox.view(), Source.WEBHOOK) == {"connected": 1, "failed": 3}


def test_the_lag_is_the_longest_of_the_last_thirty_to_sixty_seconds() -> None:
    clock, applier = Clock(), Applier()
    with running(applier, clock=clock) as inbox:

        def apply(*ages: float) -> None:
            batches = len(applier.batches)
            body = b"[" + b",".join(connected(at=clock.now - age) for age in ages) + b"]"
            inbox.offer(Source.WEBHOOK, body)
            wait_until(lambda: len(applier.batches) > batches and not inbox.view().waiting)
            wait_until(lambda: sum(inbox.view().counts.values()) == sum(map(len, applier.batches)))

        def lag() -> float | None:
            found = inbox.view().lag.get(Source.WEBHOOK)
            return None if found is None else round(found, 3)

        clock.now = 90.0 * 11_111  # where a window begins
        assert lag() is None
        apply(0.5, 2.5, 1.0)
        assert lag() == 2.5
        clock.now += 29
        apply(0.25)
        assert lag() == 2.5
        clock.now += 30
        apply(1.5)
        assert lag() == 2.5
        clock.now += 2
        assert lag() == 1.5
        clock.now += 60
        assert lag() is None
        apply(-3.0)  # EMQX's clock is ahead of ours
        assert lag() == -3.0


def test_each_source_has_the_time_of_its_last_delivery() -> None:
    clock = Clock()
    inbox = Inbox(Applier(), clock=clock)
    inbox.offer(Source.WEBHOOK, b"")
    clock.now += 5
    inbox.offer(Source.MQTT, b"")
    assert inbox.view().last_delivery == {Source.WEBHOOK: NOW, Source.MQTT: NOW + 5}


def test_stopping_applies_what_waits_and_takes_no_more() -> None:
    applier = Applier()
    inbox = Inbox(applier)
    for number in range(3000):
        inbox.offer(Source.WEBHOOK, connected(f"dev-{number}"))
    inbox.start()
    inbox.stop(10)
    assert applier.client_ids == [f"dev-{number}" for number in range(3000)]
    assert not inbox.offer(Source.WEBHOOK, connected())
    assert inbox.view().waiting == 0


def test_what_is_not_applied_in_time_is_lost_and_said(caplog: pytest.LogCaptureFixture) -> None:
    applier = Applier()
    applier.may_go_on.clear()
    inbox = Inbox(applier)
    inbox.start()
    inbox.offer(Source.WEBHOOK, connected("stuck"))
    assert applier.called.wait(20)
    inbox.offer(Source.WEBHOOK, connected("late"))
    inbox.offer(Source.MQTT, presence("later"), "brokers/n/clients/later/connected")
    inbox.stop(0.05)
    applier.may_go_on.set()
    assert caplog.messages == ["2 posts and messages with events are lost"]
    assert count(inbox.view(), Source.MQTT) == {"lost": 1}
    wait_until(lambda: count(inbox.view(), Source.WEBHOOK) == {"connected": 1, "lost": 1})
    assert applier.client_ids == ["stuck"]


def test_an_inbox_that_never_started_can_be_stopped() -> None:
    inbox = Inbox(Applier())
    inbox.offer(Source.WEBHOOK, connected())
    inbox.stop(1)
    assert count(inbox.view(), Source.WEBHOOK) == {"lost": 1}


def test_many_threads_can_offer_at_once() -> None:
    applier = Applier()
    with running(applier) as inbox:

        def offer(name: int) -> None:
            for number in range(500):
                assert inbox.offer(Source.WEBHOOK, connected(f"{name}/{number}"))

        threads = [threading.Thread(target=offer, args=[name]) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name in range(4):
        assert [one for one in applier.client_ids if one.startswith(f"{name}/")] == [
            f"{name}/{number}" for number in range(500)
        ]
    assert count(inbox.view(), Source.WEBHOOK) == {"connected": 2000}
