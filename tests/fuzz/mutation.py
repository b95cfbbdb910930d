"""Changes values inside of JSON and MessagePack, where changes of bytes hardly ever lead."""

from random import Random
from typing import Any

import msgspec

#: Values at the ends of what types hold, and of what this program believes.
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)),
    *(0.5, -0.0, 1e308, float("inf"), float("nan"), 253_402_300_799_999, 1_790_000_000_000),
    *("", "a", "\0", "é\u2028", "x" * 300, "undefined", "connected", "2026-11-22T17:20:32+05:30"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "client.disconnected"),
    *([], {}, [[]], {"clientid": "a"}, "message.publish", "takenover", "qos0_msg", b"\xff"),
)

_PACKED = "memory"


def mutated(name: str, data: bytes, random: Random) -> bytes | None:
    """Return ``data`` with a value changed; ``None`` where there is none to change.

    Args:
        name: the target that it is for.
        data: a document of MessagePack, or lines of which some are JSON.
        random: what chooses.
    """
    try:
        if name == _PACKED:
            return msgspec.msgpack.encode(_changed(msgspec.msgpack.decode(data), random))
        lines = data.split(b"\n")
        place = random.randrange(len(lines))
        document = _changed(msgspec.json.decode(lines[place]), random)
        lines[place] = msgspec.json.encode(document)
        if random.random() < 0.2:
            lines.insert(place, lines[place])
        return b"\n".join(lines)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError, TypeError):
        return None


def _changed(value: Any, random: Random) -> Any:
    """Return ``value`` with something in it changed, somewhere."""
    if not value or not isinstance(value, dict | list) or random.random() < 0.1:
        return _another(value, random)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = random.choice(keys)
    match random.randrange(8):
        case 0:
            del value[key]
        case 1 if isinstance(value, list):
            value.append(value[key])
        case _:
            value[key] = _changed(value[key], random)
    return value


def _another(value: Any, random: Random) -> Any:
    if isinstance(value, int) and random.random() < 0.5:
        return value + random.choice([-1000, -1, 1, 1000])
    return random.choice(_VALUES)
