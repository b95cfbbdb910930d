"""The query of ``GET /clients``: what EMQX understands of it, by version, and how it refuses it.

Not imitated are the filters by time (``gte_created_at`` and its like) and ``clients_v2``: they are
ignored like every parameter that EMQX does not know.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import unquote_to_bytes

from otel_emqx_monitor.simulator.answers import Answer, Refused, invalid, problem

#: Every value that each parameter was given, in their order.
Params = Mapping[str, Sequence[str]]
Version = tuple[int, int, int]
#: A field of a row, and what has to hold for its value (``None`` when the row lacks it).
Condition = tuple[str, Callable[[object], bool]]

_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_NUMBERS = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")

#: The fields that ``fields=`` may name, and the version that knew them first. Others that rows
#: have (``listener``, ``is_persistent``, ``disconn_props``) cannot be asked for by name.
_FIELDS: Mapping[Version, tuple[str, ...]] = {
    (5, 6, 0): (
        *("clientid", "username", "node", "ip_address", "port", "proto_name", "proto_ver"),
        *("connected", "connected_at", "disconnected_at", "created_at", "keepalive"),
        *("clean_start", "expiry_interval", "is_bridge", "mountpoint"),
        *("subscriptions_cnt", "subscriptions_max", "inflight_cnt", "inflight_max"),
        *("mqueue_len", "mqueue_max", "mqueue_dropped", "awaiting_rel_cnt", "awaiting_rel_max"),
        *("mailbox_len", "heap_size", "reductions"),
        *("recv_oct", "recv_cnt", "recv_pkt", "recv_msg"),
        *("recv_msg.qos0", "recv_msg.qos1", "recv_msg.qos2"),
        *("recv_msg.dropped", "recv_msg.dropped.await_pubrel_timeout"),
        *("send_oct", "send_cnt", "send_pkt", "send_msg"),
        *("send_msg.qos0", "send_msg.qos1", "send_msg.qos2", "send_msg.dropped"),
        *("send_msg.dropped.expired", "send_msg.dropped.queue_full"),
        "send_msg.dropped.too_large",
    ),
    (5, 7, 0): (
        *("durable", "is_expired", "n_streams"),
        *("seqno_q1_comm", "seqno_q1_dup", "seqno_q1_next"),
        *("seqno_q2_comm", "seqno_q2_dup", "seqno_q2_rec", "seqno_q2_next"),
    ),
    (5, 7, 1): ("client_attrs",),
    (6, 3, 0): ("total_payload_bytes",),
}


@dataclass(frozen=True)
class Query:
    """What a request asks for; ``None`` stands for no restriction.

    ``client_ids`` are exact. ``conditions`` hold for the field of a row that they are listed with;
    a row has to meet all. ``fuzzy`` is whether one of them looks for a part of a text.
    """

    page: int
    limit: int
    node: str | None
    client_ids: frozenset[str] | None
    conditions: tuple[Condition, ...]
    fuzzy: bool
    fields: tuple[str, ...] | None


def parse_version(text: str) -> Version:
    """Return the numbers of a version such as ``5.8.9``, ``e5.10.4`` or ``6.3.0-beta.2``."""
    numbers = _NUMBERS.search(text)
    if numbers is None:
        raise ValueError(f"not a version of EMQX: {text!r}")
    major, minor, patch = numbers.groups(default="0")
    return int(major), int(minor), int(patch)


def decode(raw: bytes) -> str:
    """Return ``raw`` without its percent escapes; ``ValueError`` when one is broken."""
    if _BROKEN_ESCAPE.search(raw):
        raise ValueError(raw)
    return unquote_to_bytes(raw).decode("utf-8", "replace")


def parse_params(raw: bytes) -> Params:
    """Return the parameters of a raw query string; ``ValueError`` when an escape is broken."""
    params: dict[str, list[str]] = {}
    for pair in filter(None, raw.split(b"&")):
        name, _, value = pair.replace(b"+", b" ").partition(b"=")
        params.setdefault(decode(name), []).append(decode(value))
    return params


def understand(params: Params, version: Version) -> Query:
    """Return what EMQX ``version`` takes ``params`` for; raises ``Refused`` as EMQX would."""
    # EMQX before 5.6 has no exact ``clientid=`` and no ``fields=``, and ignores both.
    knows_lists = version >= (5, 6, 0)
    last = {name: values[-1] for name, values in params.items()}
    page = _integer(last.get("page", "1"), "page", "pos_integer()", None)
    top = 10_000 if version >= (5, 5, 0) else 1000
    limit = _integer(last.get("limit", "100"), "limit", f"1..{top}", top)
    client_ids = frozenset(params["clientid"]) if knows_lists and "clientid" in params else None
    usernames = tuple(params.get("username", ()))[0 if knows_lists else -1 :]
    fuzzy = _fuzzy(last, exact_ids=client_ids is not None)
    return Query(
        page=page,
        limit=limit,
        node=last.get("node"),
        client_ids=client_ids,
        conditions=(
            *([("username", usernames.__contains__)] if usernames else []),
            *_exact(last, version),
            *fuzzy,
        ),
        fuzzy=bool(fuzzy),
        fields=_fields(params["fields"], version) if knows_lists and "fields" in params else None,
    )


def _integer(text: str, name: str, expected: str, top: int | None) -> int:
    value = int(text) if _INTEGER.fullmatch(text) else None
    if value is None or value < 1 or (top is not None and value > top):
        reason = {"expected": expected}
        raise Refused(_refusal(name, text if value is None else value, reason))
    return value


def _exact(last: Mapping[str, str], version: Version) -> Iterator[Condition]:
    if "conn_state" in last:
        yield "connected", _connection_state(last["conn_state"])
    if "clean_start" in last:
        if last["clean_start"] not in ("true", "false"):
            reason = {"expected": "boolean()"}
            raise Refused(_refusal("clean_start", last["clean_start"], reason))
        yield "clean_start", (last["clean_start"] == "true").__eq__
    if "ip_address" in last:
        yield "ip_address", _typed("ip_address", last, "ip", ip_address, version)
    if "proto_ver" in last:
        yield "proto_ver", _typed("proto_ver", last, "integer", int, version)


def _connection_state(state: str) -> Callable[[object], bool]:
    # A client is idle before it sends CONNECT, and has no row then.
    connected = {"connected": True, "disconnected": False, "idle": "never"}.get(state)
    if connected is None:
        raise Refused(_refusal("conn_state", state, "unable_to_convert_to_enum_symbol"))
    return lambda field: field is connected


def _typed(
    name: str,
    last: Mapping[str, str],
    expected: str,
    convert: Callable[[str], object],
    version: Version,
) -> Callable[[object], bool]:
    """Return the condition of a filter whose type EMQX checks late, on its own terms."""
    text = last[name]
    try:
        value = convert(text)
    except ValueError:
        if version < (5, 5, 0):
            raise Refused(problem(500, "INTERNAL_ERROR", "error, badarg, []")) from None
        message = f"the {name} parameter expected type is {expected}, but the value is {text}"
        raise Refused(problem(400, "INVALID_PARAMETER", message)) from None
    return lambda field: str(field) == str(value)


def _fuzzy(last: Mapping[str, str], *, exact_ids: bool) -> list[Condition]:
    # EMQX drops the search for a part when the exact value is given too.
    wanted = [("clientid", "like_clientid", exact_ids), ("username", "like_username", False)]
    return [
        (field, _holds(last[name]))
        for field, name, dropped in wanted
        if name in last and not dropped and (field != "username" or "username" not in last)
    ]


def _holds(part: str) -> Callable[[object], bool]:
    return lambda field: isinstance(field, str) and part in field


def _fields(values: Sequence[str], version: Version) -> tuple[str, ...] | None:
    if list(values) == ["all"]:
        return None
    names = values[0].split(",") if len(values) == 1 else [",".join(values)]
    legal = {name for since, new in _FIELDS.items() if version >= since for name in new}
    for position, name in enumerate(names, start=1):
        if name not in legal:
            raise Refused(_no_such_field(position, name, names))
    return tuple(names)


def _no_such_field(position: int, name: str, names: Sequence[str]) -> Answer:
    return invalid(
        {
            "reason": "matched_no_union_member",
            "path": "fields",
            "mismatches": {
                "array": {
                    "value": name,
                    "reason": "unable_to_convert_to_enum_symbol",
                    "path": f"fields.{position}",
                    "kind": "validation_error",
                },
                "all": {
                    "value": names,
                    "reason": {"expected": "all"},
                    "path": "fields",
                    "kind": "validation_error",
                },
            },
            "kind": "validation_error",
        }
    )


def _refusal(path: str, value: object, reason: object) -> Answer:
    return invalid({"value": value, "reason": reason, "path": path, "kind": "validation_error"})
