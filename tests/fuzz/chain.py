"""What stands behind the decoders: the tracker, the state file and both encodings of metrics.

Input that a decoder lets through has to be harmless there too.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Self

from opentelemetry.sdk.resources import Resource

from otel_emqx_monitor.cache import Freshness, SnapshotCache
from otel_emqx_monitor.config.load import load
from otel_emqx_monitor.emqx.rows import Poll, Row, newest_by_id
from otel_emqx_monitor.fleet import Fleet
from otel_emqx_monitor.instruments import METRICS, counted_by, register
from otel_emqx_monitor.meter import BulkMeterProvider
from otel_emqx_monitor.readers import otlp_bytes
from otel_emqx_monitor.readers.exposition import OPENMETRICS, family
from otel_emqx_monitor.selection import selection_of
from otel_emqx_monitor.snapshot import Snapshot
from otel_emqx_monitor.state import Store
from otel_emqx_monitor.statefile import NOTHING_RESTORED, Restored
from otel_emqx_monitor.tracker import Habits, Tracker
from tests.fleets import CALM

#: When all inputs are read, in seconds since the epoch.
NOW = 1_790_000_000.0

FLAGS = frozenset(one.flag for one in METRICS if one.flag and one.flag.startswith("enable_"))
COUNTED = counted_by(FLAGS)
HABITS = Habits(COUNTED, hears=True, info=True)

CONFIG = """\
emqx: {api_key: k, api_secret: s, api_url: "http://emqx:18083", alias: broker}
monitored_clients:
  - {alias: A, client_id: a}
  - {alias: "{client_id} {username}", client_id_glob: "*"}
"""

#: A line of an exposition: a comment, or a name with labels and a number.
_LINE = re.compile(r'#[^\n]*|\w+(\{(\w+="([^"\\\n]|\\[\\"n])*",?)*\})? [-+\w.]+( [\d.]+)?')


class Chain:
    """Everything behind the decoders, in one folder."""

    def __init__(self, folder: Path) -> None:
        config = folder / "chain.yaml"
        config.write_text(CONFIG)
        self._selection = selection_of(load(config, {}))
        self._store = Store(folder / "chain.db", COUNTED)
        self._store.open()
        self._provider = BulkMeterProvider()
        initial = self.tracker().initial
        self._cache = SnapshotCache(
            "broker", _never, _never_of, initial, Freshness(15, 60), flags=FLAGS
        )
        register(self._provider.get_meter("fuzz"), self._cache)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    def tracker(self, restored: Restored = NOTHING_RESTORED) -> Tracker:
        return Tracker(self._selection, HABITS, NOW - 100, restored)

    def apply(self, tracker: Tracker, rows: Iterable[Row], at: float = NOW) -> None:
        """Do what the agent does with a poll."""
        self.show(tracker.apply(Poll(newest_by_id(rows), at, 0.25)))

    def show(self, fleet: Fleet) -> None:
        """Write ``fleet`` to the state file and encode it for both readers."""
        self._store.save(fleet)
        assert self._store.write_errors == 0
        for one in (fleet, replace(fleet, counted=None)):  # with sums, and live
            self._encode(Snapshot("broker", one, CALM, NOW - 100))

    def _encode(self, snapshot: Snapshot) -> None:
        with self._cache.pinned(snapshot):
            readings = self._provider.collect()
        for reading in readings:
            for line in family(reading, OPENMETRICS).decode().removesuffix("\n").split("\n"):
                assert _LINE.fullmatch(line), line
        for _ in otlp_bytes.requests(readings, Resource({}), NOW, 10_000_000):
            pass


def _never() -> Poll:
    raise AssertionError("nobody asks")


def _never_of(_: Poll) -> Fleet:
    raise AssertionError("nobody asks")
