from collections.abc import Mapping

import pytest

from otel_emqx_monitor.simulator.rule_sql import SqlError, matches, parse

EVENT = {"event": "message.publish", "clientid": "c", "topic": "up/a", "payload": "naïve", "qos": 1}


@pytest.mark.parametrize(
    "topic, topic_filter, expected",
    [
        ("up/a", "up/a", True),
        ("up/a", "up/#", True),
        ("up", "up/#", True),
        ("up/a/b", "up/#", True),
        ("up/a", "up/+", True),
        ("up/a/b", "up/+", False),
        ("up", "up/+", False),
        ("up/", "up/+", True),
        ("down/a", "up/#", False),
        ("any/thing", "#", True),
        ("$SYS/a", "#", False),
        ("$SYS/a", "+/a", False),
        ("$SYS/a", "$SYS/#", True),
    ],
)
def test_topics_match_filters_by_mqtt_s_rules(
    topic: str, topic_filter: str, *, expected: bool
) -> None:
    assert matches(topic, topic_filter) is expected


@pytest.mark.parametrize(
    "sql, output",
    [
        ('SELECT * FROM "up/#"', EVENT),
        ('select clientid, qos from "up/#"', {"clientid": "c", "qos": 1}),
        ('SELECT clientid as who FROM "x"', {"who": "c"}),
        ('SELECT reason FROM "up/#"', {"reason": "undefined"}),
        ('SELECT bytesize(payload) as n FROM "up/#"', {"n": 6}),
        ('SELECT bytesize(nothing) as n FROM "up/#"', None),
        ("SELECT qos FROM \"up/#\" WHERE topic =~ 'up/+'", {"qos": 1}),
        ("SELECT qos FROM \"up/#\" WHERE topic =~ 'down/+'", None),
        ("SELECT qos FROM \"up/#\" WHERE nothing =~ 'down/+'", None),
        ("SELECT qos FROM \"x\" WHERE topic =~ 'down/#' or topic =~ 'up/#'", {"qos": 1}),
        ("SELECT qos FROM \"x\" WHERE topic =~ 'up/#' and clientid != 'c'", None),
        (
            "SELECT qos FROM \"x\" WHERE (topic = 'x' or topic = 'up/a') and qos = '1'",
            {"qos": 1},
        ),
    ],
)
def test_output_of_a_rule(sql: str, output: Mapping[str, object] | None) -> None:
    assert parse(sql).apply(EVENT) == output


def test_events_and_topics_are_covered_by_from() -> None:
    statement = parse('SELECT * FROM "$events/client_connected", "up/#"')
    assert statement.sources == ("$events/client_connected", "up/#")
    assert statement.covers("$events/client_connected")
    assert statement.covers("up/x")
    assert not statement.covers("$events/client_disconnected")


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT",
        "SELECT FROM x",
        'SELECT a "x"',
        "SELECT a FROM x",
        'SELECT f(a) as b FROM "x"',
        'SELECT bytesize(a) FROM "x"',
        'SELECT a FROM "x" WHERE',
        'SELECT a FROM "x" WHERE a',
        'SELECT a FROM "x" WHERE a = b',
        "SELECT a FROM \"x\" WHERE a = 'b' 'c'",
        "SELECT a FROM \"x\" WHERE (a = 'b'",
        'SELECT a FROM "x" WHERE a = "b"',
        'SELECT a FROM "x" ; DROP',
        'SELECT a FROM "x" WHERE a = \'b',
    ],
)
def test_what_cannot_be_parsed_is_refused(sql: str) -> None:
    with pytest.raises(SqlError):
        parse(sql)
