import gc
import gzip
import subprocess
import sys
import threading
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from otel_emqx_monitor.cache import Freshness, SnapshotCache
from otel_emqx_monitor.columns import Column
from otel_emqx_monitor.config import PrometheusConfig
from otel_emqx_monitor.emqx.errors import Reason
from otel_emqx_monitor.fleet import Watched
from otel_emqx_monitor.instruments import PUSH
from otel_emqx_monitor.meter import Reading
from otel_emqx_monitor.readers import prometheus as module
from otel_emqx_monitor.readers.exposition import OPENMETRICS, TEXT, Format, family
from otel_emqx_monitor.readers.prometheus import PrometheusReader
from otel_emqx_monitor.snapshot import Outcome, Pushes, Snapshot
from tests.fleets import assess, connected, nothing_known, poll, snapshot

BOTH = pytest.mark.parametrize("output", [TEXT, OPENMETRICS], ids=["text", "OpenMetrics"])
FLAGS = frozenset(
    {PUSH, *(name for name in PrometheusConfig.model_fields if name.startswith("enable_"))}
)

#: What the rows of ``polled`` have values for.
OF_THE_POLL = [
    "connected",
    "created_at",
    "connected_at",
    "bytes",
    "last_seen_timestamp_seconds",
    "connections",
]


def polled(count: int = 1, octets: int = 7) -> Snapshot:
    return snapshot(*(connected(f"id-{number}", recv_oct=octets) for number in range(count)))


@pytest.fixture
def reader() -> PrometheusReader:
    watched = [Watched("A", "a", "broker")]
    cache = SnapshotCache(
        "broker",
        poll,
        lambda answered: assess(answered, watched),
        nothing_known(watched),
        Freshness(ttl=15, stale_after=60),
        flags=FLAGS,
    )
    return PrometheusReader(cache)


@pytest.fixture
def steady(reader: PrometheusReader, monkeypatch: pytest.MonkeyPatch) -> PrometheusReader:
    """A reader whose expositions of the same snapshot are equal: none of the process' metrics."""
    monkeypatch.setattr(reader, "_process", CollectorRegistry())
    return reader


OnRender = Callable[[Callable[[], object]], None]


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of those families that are of a poll, in the order in which they were rendered."""
    names: list[str] = []

    def noting(reading: Reading, output: Format) -> bytes:
        if reading.column.time is not None:
            names.append(reading.instrument.name.removeprefix("emqx_client_monitor_"))
        return family(reading, output)

    monkeypatch.setattr(module, "family", noting)
    return names


def are_same(parts: Sequence[bytes], others: Sequence[bytes]) -> bool:
    """Whether these are the very same objects, not only equal ones."""
    return [id(part) for part in parts] == [id(other) for other in others]


def column_of(of: Snapshot) -> "weakref.ref[Column]":
    return weakref.ref(of.fleet.columns["bytes"])


def test_a_poll_is_rendered_once_however_often_it_is_scraped(
    reader: PrometheusReader, rendered: list[str]
) -> None:
    now = polled()
    first = reader.render(now, TEXT)
    assert rendered == OF_THE_POLL
    for _ in range(3):
        assert are_same(reader.render(now, TEXT)[:-1], first[:-1])
        assert b'bytes_total{alias="ID-0"' in b"".join(first)
    assert rendered == OF_THE_POLL


def test_it_is_compressed_once_however_often_it_is_scraped(
    reader: PrometheusReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = polled()
    head, squeezed, _ = reader.render(now, TEXT, compress=True)
    for _ in range(3):
        assert are_same(reader.render(now, TEXT, compress=True)[:-1], [head, squeezed])


def test_the_same_poll_is_kept_when_only_the_agent_s_own_state_is_new(
    reader: PrometheusReader, rendered: list[str]
) -> None:
    now = polled()
    before = reader.render(now, TEXT)
    failed = replace(now.health, up=False, errors={**now.health.errors, Reason.TIMEOUT: 3})
    pushed = Pushes(dict.fromkeys(Outcome, 5), dict.fromkeys(Outcome, 40), 1_234.0)
    after = reader.render(replace(now, health=failed, pushes=pushed), TEXT)
    assert are_same(before[:-1], after[:-1])
    assert rendered == OF_THE_POLL
    assert b'emqx_client_monitor_up{broker="broker"} 1\n' in before[-1]
    own = after[-1].decode()
    assert 'emqx_client_monitor_up{broker="broker"} 0\n' in own
    assert 'emqx_client_monitor_poll_errors_total{broker="broker",reason="timeout"} 3\n' in own
    assert 'emqx_client_monitor_otlp_points_total{broker="broker",outcome="dropped"} 40\n' in own
    assert 'emqx_client_monitor_otlp_last_success_timestamp_seconds{broker="broker"} 1234.0' in own


@BOTH
def test_metrics_of_the_process_are_those_of_the_moment(
    reader: PrometheusReader, output: Format
) -> None:
    now = polled()
    collections = 'python_gc_collections_total{generation="2"} '

    def count() -> float:
        [line] = [
            line
            for line in reader.render(now, output)[-1].decode().split("\n")
            if line.startswith(collections)
        ]
        return float(line.removeprefix(collections))

    before = count()
    gc.collect()
    assert count() > before


@BOTH
@pytest.mark.parametrize("clients", [0, 1, 3_000])
def test_compressed_parts_are_one_gzip_stream_of_the_plain_ones(
    steady: PrometheusReader, output: Format, clients: int
) -> None:
    now = polled(clients)
    plain = b"".join(steady.render(now, output))
    for _ in range(2):
        squeezed = b"".join(steady.render(now, output, compress=True))
        assert gzip.decompress(squeezed) == plain
        assert inflated_in_pieces(squeezed) == plain


def inflated_in_pieces(squeezed: bytes) -> bytes:
    """Inflate as one that reads from a socket does, and allow only one gzip member."""
    inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    pieces = (squeezed[begin : begin + 1_000] for begin in range(0, len(squeezed), 1_000))
    text = b"".join(map(inflate.decompress, pieces)) + inflate.flush()
    assert inflate.eof
    assert inflate.unused_data == b""
    return text


@pytest.mark.real("gzip")
@pytest.mark.parametrize("clients", [0, 3_000])
def test_gzip_itself_finds_no_fault_with_it(reader: PrometheusReader, clients: int) -> None:
    squeezed = b"".join(reader.render(polled(clients), TEXT, compress=True))
    tested = subprocess.run(["gzip", "-t"], input=squeezed, capture_output=True, check=False)  # noqa: S607
    assert (tested.returncode, tested.stderr) == (0, b"")


def test_an_agent_s_new_state_gives_a_valid_gzip_stream_too(steady: PrometheusReader) -> None:
    now = polled(3)
    steady.render(now, TEXT, compress=True)
    later = replace(now, health=replace(now.health, up=False))
    plain = b"".join(steady.render(later, TEXT))
    assert gzip.decompress(b"".join(steady.render(later, TEXT, compress=True))) == plain


def test_compressing_needs_no_rendering_and_the_other_way_round(
    reader: PrometheusReader, rendered: list[str]
) -> None:
    for now in (polled(octets=1), polled(octets=2)):
        for compress in (True, False, True):
            reader.render(now, TEXT, compress=compress)
    assert rendered == 2 * OF_THE_POLL


def test_another_poll_takes_the_place_of_the_last(
    reader: PrometheusReader, rendered: list[str]
) -> None:
    for octets in (7, 8):
        text = b"".join(reader.render(polled(octets=octets), TEXT)).decode()
        assert f'client_id="id-0",direction="rx"}} {octets}\n' in text
    assert rendered == 2 * OF_THE_POLL


def test_nothing_of_the_last_poll_is_kept(reader: PrometheusReader) -> None:
    old = polled()
    reader.render(old, TEXT, compress=True)
    column = column_of(old)
    del old
    gc.collect()
    assert column() is not None, "it is kept as long as it is the last one"
    reader.render(polled(), TEXT)
    gc.collect()
    assert column() is None


def test_the_last_poll_is_let_go_before_the_new_one_is_rendered(
    reader: PrometheusReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = polled()
    reader.render(old, TEXT)
    column = column_of(old)
    del old
    alive: list[bool] = []

    def noting(reading: Reading, output: Format) -> bytes:
        alive.append(column() is not None)
        return family(reading, output)

    monkeypatch.setattr(module, "family", noting)
    reader.render(polled(), TEXT)
    assert not any(alive)


def test_a_format_that_nobody_asks_for_any_more_keeps_no_old_poll(
    reader: PrometheusReader,
) -> None:
    old = polled()
    reader.render(old, OPENMETRICS, compress=True)
    column = column_of(old)
    del old
    reader.render(polled(), TEXT)
    gc.collect()
    assert column() is None


def test_nothing_of_a_poll_is_kept_when_it_is_too_old(reader: PrometheusReader) -> None:
    old = polled()
    reader.render(old, TEXT)
    column = column_of(old)
    unknown = replace(old, fleet=nothing_known([Watched("A", "a", "broker")]))
    del old
    text = b"".join(reader.render(unknown, TEXT))
    gc.collect()
    assert column() is None
    assert b"client_id" not in text
    assert b'emqx_client_monitor_clients{broker="broker",state="unknown"} 1\n' in text


def test_text_and_openmetrics_are_kept_side_by_side(
    reader: PrometheusReader, rendered: list[str]
) -> None:
    now = polled()
    text, openmetrics = reader.render(now, TEXT), reader.render(now, OPENMETRICS)
    assert are_same(reader.render(now, TEXT)[:-1], text[:-1])
    assert are_same(reader.render(now, OPENMETRICS)[:-1], openmetrics[:-1])
    assert rendered == 2 * OF_THE_POLL
    assert b"# TYPE emqx_client_monitor_bytes_total counter\n" in b"".join(text)
    assert b"# TYPE emqx_client_monitor_bytes counter\n" in b"".join(openmetrics)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("clients", [0, 3])
def test_openmetrics_ends_with_its_only_eof(
    reader: PrometheusReader, clients: int, compress: bool
) -> None:
    body = b"".join(reader.render(polled(clients), OPENMETRICS, compress=compress))
    text = (gzip.decompress(body) if compress else body).decode()
    assert text.endswith("\n# EOF\n")
    assert text.count("# EOF") == 1
    parse: Any = parse_openmetrics
    names = {one.name for one in parse(text)}
    assert {"emqx_client_monitor_up", "emqx_client_monitor_otlp_points", "python_info"} <= names
    assert ("emqx_client_monitor_bytes" in names) is (clients > 0)


def test_text_has_no_eof(reader: PrometheusReader) -> None:
    assert b"# EOF" not in b"".join(reader.render(polled(), TEXT))


@BOTH
def test_no_family_and_no_series_comes_twice(reader: PrometheusReader, output: Format) -> None:
    parse: Any = parse_text if output is TEXT else parse_openmetrics
    families = list(parse(b"".join(reader.render(polled(3), output)).decode()))
    names = [one.name for one in families]
    series = [
        (sample.name, *sorted(sample.labels.items())) for one in families for sample in one.samples
    ]
    assert len(names) == len(set(names))
    assert len(series) == len(set(series))


def test_a_scrape_that_began_with_an_older_poll_gets_that_one_whole(
    reader: PrometheusReader,
) -> None:
    older, newer = polled(octets=1), polled(octets=2)
    reader.render(newer, TEXT)
    assert b'direction="rx"} 1\n' in b"".join(reader.render(older, TEXT))
    assert b'direction="rx"} 2\n' in b"".join(reader.render(newer, TEXT))


@pytest.fixture
def restless() -> Iterator[None]:
    """Have Python's threads take turns every few instructions: what can race does."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def test_scrapes_that_come_at_once_share_one_rendering_of_a_new_poll(
    reader: PrometheusReader, rendered: list[str], restless: None
) -> None:
    rounds, scrapers = 3, 8
    together = threading.Barrier(scrapers)

    def scrape(now: Snapshot) -> list[bytes]:
        together.wait(10)
        return reader.render(now, TEXT)

    with ThreadPoolExecutor(scrapers) as pool:
        for _ in range(rounds):
            first, *others = pool.map(scrape, scrapers * [polled(300)])
            assert all(are_same(other[:-1], first[:-1]) for other in others)
    assert rendered == rounds * OF_THE_POLL
