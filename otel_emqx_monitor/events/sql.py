"""The SQL of the rules that post events: what is selected, from where, and for which topics.

There are two rules because EMQX selects a field that an event lacks as the text ``undefined``: one
for clients that come and go, one for messages, so that every event has all the fields that matter.

Read in EMQX's sources: ``=~`` is ``emqx_topic:match/2`` (5.0 on, ``emqx_rule_runtime``) and
``bytesize`` counts a payload's bytes (5.3.0 on, pull request 11620). A text in quotes has no escape
for a quote (``rulesql``'s lexer), so topic filters with quotes are refused.
"""

from collections.abc import Sequence

_PRESENCE = ("$events/client_connected", "$events/client_disconnected")
_PRESENCE_FIELDS = ("event", "clientid", "username", "connected_at", "reason", "timestamp", "node")

#: Beside the publishing itself, which a rule gets by the topic filters.
_MESSAGES = (
    "$events/message_delivered",
    "$events/message_acked",
    "$events/message_dropped",
    "$events/delivery_dropped",
)
_MESSAGE_FIELDS = (
    *("event", "clientid", "username", "qos", "id", "reason", "publish_received_at"),
    *("timestamp", "node", "bytesize(payload) as payload_bytes"),
)

_LONGEST = 65_535

#: What a topic filter in a rule or a subscription can begin with and then is none: EMQX's own.
_RESERVED = frozenset(
    {"$SYS", "$delayed", "$events", "$bridges", "$sources", "$share", "$queue", "$exclusive"}
)


def presence_sql() -> str:
    """Return the SQL of the rule for clients that connect and disconnect."""
    return _select(_PRESENCE_FIELDS, _PRESENCE)


def messages_sql(topics: Sequence[str]) -> str:
    """Return the SQL of the rule for messages on ``topics``: one topic filter at least.

    Raises ``ValueError`` with a sentence for what cannot be a topic filter.
    """
    filters = [checked_topic_filter(topic) for topic in topics]
    if not filters:
        raise ValueError("a rule for messages needs a topic filter")
    where = " or ".join(f"topic =~ '{topic}'" for topic in filters)
    return f"{_select(_MESSAGE_FIELDS, [*filters, *_MESSAGES])} WHERE {where}"


def checked_topic_filter(text: str) -> str:
    """Return ``text`` if it is a topic filter of MQTT (5.0, section 4.7) that fits into SQL.

    Raises ``ValueError`` with a sentence that says what is wrong, without the text itself.
    """
    if not 1 <= len(text.encode("utf-8", "surrogatepass")) <= _LONGEST:
        raise ValueError(f"a topic filter has 1 to {_LONGEST} bytes")
    if not text.isprintable():
        raise ValueError("a topic filter here must not have control characters")
    if "'" in text or '"' in text:
        raise ValueError("EMQX's SQL has no way to write a topic filter with a quote")
    levels = text.split("/")
    if levels[0] in _RESERVED:
        raise ValueError(f"topics below {levels[0]} are EMQX's own and cannot be asked for here")
    if any(wildcard in level and level != wildcard for level in levels for wildcard in "+#"):
        raise ValueError("a wildcard, + or #, has to be a whole level, as in a/+/c or a/#")
    if "#" in levels[:-1]:
        raise ValueError("the wildcard # can only be the last level, as in a/#")
    return text


def _select(fields: Sequence[str], sources: Sequence[str]) -> str:
    quoted = ", ".join(f'"{source}"' for source in sources)
    return f"SELECT {', '.join(fields)} FROM {quoted}"  # noqa: S608 - the filters are checked
