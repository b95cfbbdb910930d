import pytest

from otel_emqx_monitor.events.sql import checked_topic_filter, messages_sql, presence_sql
from otel_emqx_monitor.simulator.rule_sql import parse


def test_presence_needs_no_topic() -> None:
    assert presence_sql() == (
        "SELECT event, clientid, username, connected_at, reason, timestamp, node"
        ' FROM "$events/client_connected", "$events/client_disconnected"'
    )


def test_messages_are_limited_to_the_topics_in_from_and_where() -> None:
    assert messages_sql(["up/#", "down/+/x"]) == (
        "SELECT event, clientid, username, qos, id, reason, publish_received_at, timestamp, node,"
        " bytesize(payload) as payload_bytes"
        ' FROM "up/#", "down/+/x", "$events/message_delivered", "$events/message_acked",'
        ' "$events/message_dropped", "$events/delivery_dropped"'
        " WHERE topic =~ 'up/#' or topic =~ 'down/+/x'"
    )


def test_messages_without_a_topic_are_refused() -> None:
    with pytest.raises(ValueError, match="needs a topic filter"):
        messages_sql([])


@pytest.mark.parametrize(
    "text",
    ["#", "+", "a", "a/#", "+/b/#", "/", "//", "a b/ü/#", "$iot/x", "-- x", "a\\b", "x" * 65_535],
)
def test_topic_filters_of_mqtt_are_taken_as_they_are(text: str) -> None:
    assert checked_topic_filter(text) == text
    statement = parse(messages_sql([text]))
    assert statement.sources[0] == text


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "1 to 65535 bytes"),
        ("ü" * 32_768, "1 to 65535 bytes"),
        ("a' or 1 = 1", "quote"),
        ('a", "$events/client_connected', "quote"),
        ("a\0b", "control characters"),
        ("a\nb", "control characters"),
        ("\udcff", "control characters"),
        ("a/b+", "whole level"),
        ("a#", "whole level"),
        ("#/a", "last level"),
        ("a/#/b", "last level"),
        ("$events/client_connected", "EMQX's own"),
        ("$share/g/a", "EMQX's own"),
        ("$SYS/#", "EMQX's own"),
    ],
)
def test_what_is_no_topic_filter_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        checked_topic_filter(text)
