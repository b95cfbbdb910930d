"""How often the broker's counters move: its setting ``mqtt.idle_timeout``.

Each connection writes its counters at most once in that time into the table that the API reads
(15 s by default, EMQX 5.0 to 6.2), so nobody sees them finer than that.
"""

import math
import re

import msgspec

from otel_emqx_monitor.deadline import Deadline
from otel_emqx_monitor.emqx.decoding import decoder
from otel_emqx_monitor.emqx.errors import EmqxError
from otel_emqx_monitor.emqx.http import Http

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_PART = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)(ms|s|m|h|d|w)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


class _Mqtt(msgspec.Struct, frozen=True):
    idle_timeout: str | int


class _Zone(msgspec.Struct, frozen=True):
    mqtt: _Mqtt


def ask_refresh_seconds(http: Http, deadline: Deadline) -> float | None:
    """Ask how often counters move, in seconds; infinite where only connecting writes them.

    ``None`` when EMQX does not tell, whatever the reason: the key's role or scopes may not allow
    it, and no poll fails for it. Listeners of a zone of their own may differ from the global zone.
    """
    try:
        zone = http.get("/configs/global_zone", decoder(_Zone), deadline, attempts=1)
    except EmqxError:
        return None
    return seconds_of(zone.mqtt.idle_timeout)


def seconds_of(duration: str | int) -> float | None:
    """Return a duration as EMQX writes it (``15s``, ``1h2m3s``, ``infinity``) in seconds.

    A bare number counts milliseconds. ``None`` for what is no duration, and for none at all.
    """
    if isinstance(duration, int):
        return duration / 1000 if duration > 0 else None
    text = duration.strip().lower()
    if text == "infinity":
        return math.inf
    if not _WHOLE.fullmatch(text):
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text)) or None
