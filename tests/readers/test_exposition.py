import math
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.util.types import AttributeValue
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from otel_emqx_monitor.columns import NO_LABELS, Block, Column, Group, Labels, Point
from otel_emqx_monitor.meter import Instrument, Reading, Scope, Sort
from otel_emqx_monitor.readers.exposition import OPENMETRICS, TEXT, Format, family, label_text

SCOPE = Scope("lib", None, None, None)
BOTH = pytest.mark.parametrize("output", [TEXT, OPENMETRICS], ids=["text", "OpenMetrics"])


def reading(
    column: Column, *, name: str = "m", sort: Sort = Sort.GAUGE, description: str = "D"
) -> Reading:
    return Reading(SCOPE, Instrument(name, sort, "", description, []), column)


def one(
    value: float, attributes: Mapping[str, AttributeValue] | None = None, **instrument: Any
) -> Reading:
    return reading(Column.of([Point(attributes or {}, value, None)]), **instrument)


def lines(read: Reading, output: Format = TEXT) -> list[str]:
    return family(read, output).decode().split("\n")


def parsed(read: Reading, output: Format) -> list[tuple[str, dict[str, str], float]]:
    parse: Any = parse_text if output is TEXT else parse_openmetrics
    text = (family(read, output) + output.end).decode()
    return [(one.name, one.labels, one.value) for found in parse(text) for one in found.samples]


def test_a_family_is_help_type_and_a_line_for_each_point() -> None:
    points = [Point({"id": "a"}, 1, None), Point({"id": "b"}, 2, None)]
    assert lines(reading(Column.of(points), description="What it is")) == [
        "# HELP m What it is",
        "# TYPE m gauge",
        'm{id="a"} 1',
        'm{id="b"} 2',
        "",
    ]


@pytest.mark.parametrize(
    "name, sort, text_head, openmetrics_head, sample",
    [
        ("m", Sort.GAUGE, "m gauge", "m gauge", "m"),
        ("m", Sort.UP_DOWN_SUM, "m gauge", "m gauge", "m"),
        ("m", Sort.SUM, "m_total counter", "m counter", "m_total"),
        ("m_total", Sort.SUM, "m_total counter", "m counter", "m_total"),
    ],
)
def test_only_counters_end_in_total_and_openmetrics_leaves_that_out_of_the_head(
    name: str, sort: Sort, text_head: str, openmetrics_head: str, sample: str
) -> None:
    read = one(1, name=name, sort=sort)
    assert lines(read)[1:3] == [f"# TYPE {text_head}", f"{sample} 1"]
    assert lines(read, OPENMETRICS)[1:3] == [f"# TYPE {openmetrics_head}", f"{sample} 1"]


@pytest.mark.parametrize(
    "value, written",
    [
        (r"a\b", r"a\\b"),
        ("a\nb", r"a\nb"),
        ('a"b', r"a\"b"),
        (r"\n", r"\\n"),
        ('\\"\n', r"\\\"\n"),
        ("", ""),
        (" a,b={}# ", " a,b={}# "),
        ("\r\t\x1b[31m\x00", "\r\t\x1b[31m\x00"),
        ("größe-温度-🌡", "größe-温度-🌡"),
    ],
)
def test_label_values_are_escaped_as_both_formats_want_it(value: str, written: str) -> None:
    for output in (TEXT, OPENMETRICS):
        read = one(1, {"id": value})
        assert family(read, output).decode().partition("gauge\n")[2] == f'm{{id="{written}"}} 1\n'
        assert parsed(read, output) == [("m", {"id": value}, 1.0)]


@pytest.mark.parametrize(
    "output, written",
    [(TEXT, r'a\\b\nc"d'), (OPENMETRICS, r"a\\b\nc\"d")],
    ids=["text", "OpenMetrics"],
)
def test_help_is_escaped_and_only_openmetrics_escapes_quotes_in_it(
    output: Format, written: str
) -> None:
    assert lines(one(1, description='a\\b\nc"d'), output)[0] == f"# HELP m {written}"


@pytest.mark.parametrize(
    "value, written",
    [
        (0, "0"),
        (-7, "-7"),
        (2**63 - 1, "9223372036854775807"),
        (0.0, "0.0"),
        (0.1, "0.1"),
        (-2.5, "-2.5"),
        (1e300, "1e+300"),
        (5e-324, "5e-324"),
        (1_790_000_000.123456, "1790000000.123456"),
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (True, "1"),
        (False, "0"),
    ],
)
def test_numbers_are_exact_and_written_as_prometheus_reads_them(value: float, written: str) -> None:
    for output in (TEXT, OPENMETRICS):
        assert lines(one(value), output)[2] == f"m {written}"
        [(_, _, read)] = parsed(one(value), output)
        assert read == value or (math.isnan(read) and math.isnan(value))


def test_integers_and_others_stand_side_by_side_in_a_block() -> None:
    points = [Point({"n": str(n)}, value, None) for n, value in enumerate([10**18, 0.5, math.nan])]
    assert lines(reading(Column.of(points)))[2:5] == [
        'm{n="0"} 1000000000000000000',
        'm{n="1"} 0.5',
        'm{n="2"} NaN',
    ]


@pytest.mark.parametrize(
    "value, written",
    [(True, "true"), (False, "false"), (7, "7"), (2.5, "2.5")],
)
def test_attributes_that_are_no_text_are_written_as_the_official_exporter_writes_them(
    value: AttributeValue, written: str
) -> None:
    assert lines(one(1, {"a": value}))[2] == f'm{{a="{written}"}} 1'


def test_a_list_is_one_text_and_breaks_nothing() -> None:
    [(_, labels, _)] = parsed(one(1, {"a": ['say "hi"', "b\n"]}), TEXT)
    assert list(labels) == ["a"]


@pytest.mark.parametrize(
    "name, written",
    [
        ("http.status-code", "http_status_code"),
        ("größe", "gr__e"),
        ("a:b", "a_b"),
        ('a="b"', "a__b_"),
        ("9lives", "_9lives"),
    ],
)
def test_attribute_names_become_names_of_labels(name: str, written: str) -> None:
    read = one(1, {name: "x"})
    assert lines(read)[2] == f'm{{{written}="x"}} 1'
    assert parsed(read, TEXT) == [("m", {written: "x"}, 1.0)]


@pytest.mark.parametrize(
    "name, written",
    [("a.b-c/d", "a_b_c_d"), ("job:rate", "job:rate"), ("a b\n# EOF", "a_b___EOF")],
)
def test_instrument_names_become_names_of_metrics(name: str, written: str) -> None:
    assert lines(one(1, name=name))[:3] == [
        f"# HELP {written} D",
        f"# TYPE {written} gauge",
        f"{written} 1",
    ]


@BOTH
def test_a_column_without_values_is_only_a_head(output: Format) -> None:
    for column in (Column([]), Column([Block(Group([]), [])])):
        assert lines(reading(column), output) == ["# HELP m D", "# TYPE m gauge", ""]


def test_blocks_follow_each_other_with_their_own_extra_labels() -> None:
    group = Group([Labels.of({"id": "a"}), Labels.of({"id": "b"})])
    column = Column(
        [
            Block(group, [1, 2], Labels.of({"way": "in"})),
            Block(group, [3, 4], Labels.of({"way": "out", "qos": "0"})),
            Block(Group(group.members[1:]), [5]),
        ]
    )
    assert lines(reading(column))[2:] == [
        'm{id="a",way="in"} 1',
        'm{id="b",way="in"} 2',
        'm{id="a",way="out",qos="0"} 3',
        'm{id="b",way="out",qos="0"} 4',
        'm{id="b"} 5',
        "",
    ]


@BOTH
def test_extra_labels_stand_alone_where_a_series_has_none_of_its_own(output: Format) -> None:
    column = Column([Block(Group([NO_LABELS]), [1], Labels.of({"way": "in"}))])
    assert lines(reading(column), output)[2] == 'm{way="in"} 1'


@BOTH
def test_series_with_and_without_labels_may_share_a_block(output: Format) -> None:
    points = [Point({}, 1, None), Point({"id": "a"}, 2, None)]
    assert parsed(reading(Column.of(points)), output) == [("m", {}, 1.0), ("m", {"id": "a"}, 2.0)]


@BOTH
def test_series_with_and_without_labels_may_share_extra_ones(output: Format) -> None:
    group = Group([Labels.of({"id": "a"}), NO_LABELS])
    for members in (group.members, group.members[::-1]):
        column = Column([Block(Group(members), [1, 2], Labels.of({"way": "in"}))])
        labels = [labels for _, labels, _ in parsed(reading(column), output)]
        assert [sorted(one) for one in labels] == [
            sorted([*dict(member.items()), "way"]) for member in members
        ]


def test_many_lines_are_all_there_in_their_order() -> None:
    values = list(range(10_000))
    group = Group([Labels.of({"n": str(value)}) for value in values])
    assert lines(reading(Column([Block(group, values)])))[2:] == [
        *(f'm{{n="{value}"}} {value}' for value in values),
        "",
    ]


def test_the_text_of_labels_is_made_once_and_shared() -> None:
    labels = Labels.of({"id": "a"})
    text = label_text(labels)
    assert text == 'id="a"'
    assert label_text(labels) is text
    group = Group([labels])
    family(reading(Column([Block(group, [1])])), TEXT)
    assert group.texts is not None
    assert group.texts[0] is text


def test_values_without_their_series_are_a_mistake_that_shows() -> None:
    column = Column([Block(Group([Labels.of({"id": "a"})]), [1, 2])])
    with pytest.raises(ValueError, match="zip"):
        family(reading(column), TEXT)
