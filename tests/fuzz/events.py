"""What comes from EMQX about clients: the first line is a topic under ``$SYS``, the rest a body."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from otel_emqx_monitor.emqx.rows import Row
from otel_emqx_monitor.events import rules, sys_topics
from otel_emqx_monitor.hearing import Ear
from otel_emqx_monitor.merging import Merger
from tests.fuzz.chain import COUNTED, NOW, Chain
from tests.fuzz.target import Run

_ROW = Row(clientid="a", connected=True, connected_at=datetime(2026, 9, 21, tzinfo=UTC), recv_msg=5)


@contextmanager
def opened(folder: Path) -> Iterator[Run]:
    with Chain(folder) as chain:

        def run(data: bytes) -> None:
            now = NOW
            tracker = chain.tracker()
            chain.apply(tracker, [_ROW], now)
            merger = Merger(tracker, Ear(COUNTED.connection), clock=lambda: now)
            topic, _, body = data.partition(b"\n")
            for decoded in (
                rules.decode(body),
                sys_topics.decode(body, topic.decode("utf-8", "replace")),
            ):
                assert decoded.malformed >= 0
                merger.hear(decoded.events)
                now += 5
                merger.hear([])  # counts the messages that waited
                merger.settle()
                fleet = tracker.heard(now)
                assert fleet is not None
                chain.show(fleet)
            chain.apply(tracker, [_ROW], now + 15)

        yield run
