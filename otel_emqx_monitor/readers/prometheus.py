"""The instruments as a Prometheus exposition: each snapshot rendered once, for all who scrape it.

What a poll said is by far the most of it, and stays the same until the next poll: it is kept as
bytes and, for those who take gzip, compressed. Behind it comes what changes all the time, the
metrics of the agent and of its process, which is little and made for each scrape. The two are one
gzip stream: the first part ends at a byte boundary (zlib's Z_SYNC_FLUSH), and the second goes on
from there.
"""

import threading
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import pack

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    generate_latest,
)
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from otel_emqx_monitor.cache import SnapshotCache
from otel_emqx_monitor.columns import Column
from otel_emqx_monitor.instruments import register
from otel_emqx_monitor.meter import BulkMeterProvider, Reading
from otel_emqx_monitor.readers.exposition import OPENMETRICS, TEXT, Format, family
from otel_emqx_monitor.snapshot import Snapshot
from otel_emqx_monitor.version import __version__

#: An exposition compresses 10 to 1 at the fastest level already.
_LEVEL = 1

#: RFC 1952: deflate, no flags, no time, fastest, unknown system.
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"


def negotiate(accept: str) -> Format:
    """Return the format that an ``Accept`` header prefers; the text format when in doubt.

    The header is a list of media ranges, each with an optional weight ``q`` (RFC 9110, 12.5.1).
    """
    best, best_weight = TEXT, 0.0
    for media_range in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in media_range.split(";"))
        weight = _weight(parameters)
        if weight <= best_weight:
            continue
        if media_type == "application/openmetrics-text":
            best, best_weight = OPENMETRICS, weight
        elif media_type in {"text/plain", "text/*", "*/*"}:
            best, best_weight = TEXT, weight
    return best


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


@dataclass
class _Kept:
    """What a poll said, rendered in one format; compressed when somebody first wants that."""

    columns: Sequence[Column]
    families: Sequence[bytes]
    _deflated: bytes | None = field(default=None, init=False)
    _checksum: int = field(default=0, init=False)

    def is_of(self, columns: Sequence[Column]) -> bool:
        """Whether it was made of these very columns: those of one poll are the same objects."""
        return len(columns) == len(self.columns) and all(map(_same, columns, self.columns))

    def gzip_with(self, tail: bytes) -> list[bytes]:
        """Return the parts of a gzip stream of the families and ``tail``."""
        if self._deflated is None:
            squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
            parts = [squeeze.compress(one) for one in self.families]
            self._deflated = b"".join([*parts, squeeze.flush(zlib.Z_SYNC_FLUSH)])
            for one in self.families:
                self._checksum = zlib.crc32(one, self._checksum)
        squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        end = squeeze.compress(tail) + squeeze.flush()
        size = sum(map(len, self.families)) + len(tail)
        trailer = pack("<II", zlib.crc32(tail, self._checksum), size & 0xFFFFFFFF)
        return [_GZIP_HEAD, self._deflated, end + trailer]


def _same(one: object, other: object) -> bool:
    return one is other


class PrometheusReader:
    """Renders snapshots of one source; one rendering at a time, shared by concurrent scrapes.

    Beside the instruments an exposition has prometheus_client's metrics of the process, of Python
    and of its garbage collector, as the original's has. ``scrapes`` counts the renderings,
    ``last_scrape`` is when the last one was, in seconds since the epoch; both go on from an
    ``earlier`` reader of another configuration.
    """

    def __init__(self, source: SnapshotCache, earlier: "PrometheusReader | None" = None) -> None:
        self._source = source
        self._provider = BulkMeterProvider()
        register(self._provider.get_meter("otel_emqx_monitor", __version__), source)
        self._process = CollectorRegistry()
        for collector in (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR):
            self._process.register(collector)
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self.scrapes: int = earlier.scrapes if earlier else 0
        self.last_scrape: float | None = earlier.last_scrape if earlier else None

    def render(self, snapshot: Snapshot, output: Format, *, compress: bool = False) -> list[bytes]:
        """Return the exposition of ``snapshot`` in parts; all its series are of this snapshot."""
        with self._source.pinned(snapshot):
            readings = self._provider.collect()
        lasting = [one for one in readings if one.column.time is not None]
        passing = [one for one in readings if one.column.time is None]
        with self._lock:
            kept = self._keep(lasting, output)
            self.scrapes += 1
            self.last_scrape = time.time()
            tail = b"".join([self._of_process(output), *(family(one, output) for one in passing)])
            if compress:
                return kept.gzip_with(tail + output.end)
            return [*kept.families, tail + output.end]

    def _keep(self, readings: Sequence[Reading], output: Format) -> _Kept:
        columns = [reading.column for reading in readings]
        for content_type in [key for key, one in self._kept.items() if not one.is_of(columns)]:
            del self._kept[content_type]  # in every format, and before there is more to keep
        if output.content_type not in self._kept:
            families = [family(reading, output) for reading in readings]
            self._kept[output.content_type] = _Kept(columns, families)
        return self._kept[output.content_type]

    def _of_process(self, output: Format) -> bytes:
        if output is TEXT:
            return generate_latest(self._process)
        text: bytes = generate_openmetrics(self._process, version="1.0.0")  # type: ignore[no-untyped-call] # it is not typed
        return text.removesuffix(output.end)
