"""Readings in the two text formats that Prometheus reads, a block at a time.

A line is the metric's name, the labels' text, which is made once for each client, and the value.
Integers are written in full: prometheus_client would make ``1.7953766e+18`` of a counter.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from otel_emqx_monitor.columns import Block, Group, Labels
from otel_emqx_monitor.meter import Reading, Sort


@dataclass(frozen=True)
class Format:
    """A text format: ``total_in_head`` is whether HELP and TYPE name a counter with ``_total``."""

    content_type: str
    total_in_head: bool
    end: bytes


TEXT = Format("text/plain; version=0.0.4; charset=utf-8", total_in_head=True, end=b"")
OPENMETRICS = Format(
    "application/openmetrics-text; version=1.0.0; charset=utf-8",
    total_in_head=False,
    end=b"# EOF\n",
)

#: Lines made at once: few enough to stay in the processor's cache until they are joined.
_AT_ONCE = 2048

#: Prometheus' names of metrics; labels must not have the colon.
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_:]")
_NOT_IN_LABELS = re.compile(r"[^a-zA-Z0-9_]|^(?=[0-9])")


def family(reading: Reading, output: Format) -> bytes:
    """Return the metric family of one reading: HELP, TYPE and all samples."""
    instrument = reading.instrument
    family_name = _metric_name(instrument.name)
    counter = instrument.sort is Sort.SUM
    base = family_name.removesuffix("_total")
    name = f"{base}_total" if counter else family_name
    head_name = base if counter and not output.total_in_head else name
    kind = "counter" if counter else "gauge"
    parts = [
        f"# HELP {head_name} {_escape_help(instrument.description, output)}\n"
        f"# TYPE {head_name} {kind}\n".encode()
    ]
    parts += (_block(name, block) for block in reading.column.blocks)
    return b"".join(parts)


def _block(name: str, block: Block) -> bytes:
    extra = label_text(block.extra)
    texts = _texts(block.group)
    if extra and all(texts):
        extra = f",{extra}"
    elif extra:
        texts, extra = [f"{text},{extra}" if text else extra for text in texts], ""
    values: Sequence[object] = block.values
    if any(type(value) is not int for value in block.values):
        values = [_number(value) for value in block.values]
    if not extra and not any(texts):
        return "".join(f"{name} {value}\n" for value in values).encode()
    return b"".join(
        "".join(
            [
                f"{name}{{{text}{extra}}} {value}\n"
                for text, value in zip(
                    texts[begin : begin + _AT_ONCE], values[begin : begin + _AT_ONCE], strict=True
                )
            ]
        ).encode()
        for begin in range(0, len(values), _AT_ONCE)
    )


def _texts(group: Group) -> Sequence[str]:
    if group.texts is None:
        group.texts = [label_text(labels) for labels in group.members]
    return group.texts


def label_text(labels: Labels) -> str:
    """Return what stands between the braces, made once for each ``Labels``."""
    if labels.text is None:
        labels.text = ",".join(
            f'{_label_name(name)}="{_escape_value(_as_text(value))}"'
            for name, value in labels.items()
        )
    return labels.text


def _number(value: float) -> str:
    if isinstance(value, bool) or math.isfinite(value):
        return repr(value + 0)
    if math.isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"


def _metric_name(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name)


def _label_name(name: str) -> str:
    return _NOT_IN_LABELS.sub("_", name)


def _as_text(value: object) -> str:
    """Return an attribute's value as text, as the official exporter does it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _escape_value(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _escape_help(text: str, output: Format) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped if output.total_in_head else escaped.replace('"', '\\"')
