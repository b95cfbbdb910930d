"""Plays a life step by step, and compares what is exported with its table."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from otel_emqx_monitor.columns import nanoseconds
from tests.lives.exported import Sample, Series
from tests.lives.moments import BEGIN, Clock
from tests.lives.stage import Stage, stage
from tests.lives.table import NODES, OF_AGENT, Cells, Life, Step, read

#: The columns of a table: the metric, and the value of its label ``direction``.
_COLUMNS: Mapping[tuple[str, str], str] = {
    ("connected", ""): "on",
    ("messages_processed_total", "rx"): "rx",
    ("messages_processed_total", "tx"): "tx",
    ("bytes_total", "rx"): "in",
    ("bytes_total", "tx"): "out",
    ("connections_total", ""): "epochs",
    ("last_seen_timestamp_seconds", ""): "seen",
    ("disconnected_at_timestamp_seconds", ""): "left",
    ("mqueue_dropped_total", ""): "lost",
    ("mqueue_length", ""): "queued",
    ("awaiting_rel", ""): "rel",
    ("overdue", ""): "late",
    ("client_info", ""): "info",
}

_FLAGS: Mapping[str, str] = {
    "rx": "enable_processed_counters",
    "in": "enable_bytes_metrics",
    "epochs": "enable_connection_counters",
    "seen": "enable_last_seen",
    "rel": "enable_queue_metrics",
    "lost": "enable_queue_metrics",
    "info": "enable_client_info",
}

_OF_ALL_SERIES = ("alias", "broker", "client_id")


def play(
    clock: Clock,
    text: str,
    *,
    entries: Sequence[Mapping[str, Any]] = ({"alias": "Dev", "client_id": "dev"},),
    nodes: int = 1,
    patience: Mapping[str, Any] | None = None,
    state: Path | None = None,
    **more: Any,
) -> None:
    """Play the life in ``text`` (see ``table``) to agents that watch ``entries``; see ``stage``."""
    life = read(text)
    flags = {_FLAGS[column] for column in life.of_clients if column in _FLAGS}
    with stage(
        clock, entries, flags, nodes=nodes, patience=patience, state=state, **more
    ) as playing:
        polled_at = None
        for step in life.steps:
            _take(playing, step)
            if state is None and "agent restarts" in step.befalls:
                polled_at = None
            if playing.is_answering:
                polled_at = playing.clock.now
            _compare(playing, life, step, polled_at)


def _take(playing: Stage, step: Step) -> None:
    playing.clock.now = BEGIN + step.when
    if step.rows is not None:
        playing.put(step.rows)
    for what in step.befalls:
        playing.befall(what)
    playing.poll()


def _compare(playing: Stage, life: Life, step: Step, polled_at: float | None) -> None:
    for mode, agent in playing.agents.items():
        samples = agent.read()
        where = f"{mode} at {step.when:g}"
        assert clients(samples) == step.clients[mode], where
        assert _of_agent(samples, life.of_agent) == step.agent, where
        expected = nanoseconds(playing.clock.now if polled_at is None else polled_at)
        times = {one.time for series, one in samples.items() if _is_of_client(series)}
        assert times <= {expected}, f"the time of points, {where}"


def clients(samples: Mapping[Series, Sample]) -> Cells:
    """Return all samples of clients as the cells of a table."""
    cells: Cells = {}
    for (name, labels), sample in samples.items():
        if _is_of_client((name, labels)):
            told = dict(labels)
            column = _COLUMNS[name, told.get("direction", "")]
            own = cells.setdefault(told["client_id"], {})
            assert column not in own, f"{name} has two series of {told['client_id']}"
            own[column] = _info(told) if column == "info" else _cell(column, sample)
    return cells


def _is_of_client(series: Series) -> bool:
    return any(name == "client_id" for name, _ in series[1])


def _cell(column: str, sample: Sample) -> str:
    if column in ("seen", "left"):
        return f"{sample.value - BEGIN:g}"
    if sample.start:
        return f"{sample.value:g}@{sample.start / 1e9 - BEGIN:g}"
    return f"{sample.value:g}"


def _info(labels: Mapping[str, str]) -> str:
    called = {full: name for name, full in NODES.items()}
    own = [value for name, value in labels.items() if name not in _OF_ALL_SERIES]
    return " ".join(called.get(value, value) for value in own)


def _of_agent(samples: Mapping[Series, Sample], columns: Iterable[str]) -> dict[str, str]:
    told = {}
    for column in columns:
        name, state = OF_AGENT[column]
        labels = (("broker", "emqx"), *([("state", state)] if state else []))
        if (name, labels) in samples:
            told[column] = f"{samples[name, labels].value:g}"
    return told
