"""What may never happen: counters that fall, lines of the log that nobody expects."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from soaking.sampling import Exposition

#: All that the agent may say in a soak: who says it, and the beginning of it. What fails is told
#: once and when it works again; nothing is told for each poll, scrape, push or post.
EXPECTED = (
    ("agent", "serving the metrics|pushing the metrics|a new configuration is in force"),
    ("service", "stopping$"),
    ("state", r"\d+ clients are remembered in"),
    ("cache", ".*; trying again until it works$|EMQX answers again after"),
    ("emqx.roster", "node .* (does not answer|answers again|is not running)"),
    ("selection", "the patterns of monitored_clients match"),
    ("readers.otlp", ".*; trying again until it works$|the Collector takes data again after"),
    ("reloading", ""),
)

_EXPECTED = {f"otel_emqx_monitor.{logger}": re.compile(pattern) for logger, pattern in EXPECTED}


def unexpected(lines: Iterable[str]) -> list[str]:
    """Return the lines of a log of JSON that nobody expects: others, tracebacks, no JSON."""
    return [line for line in lines if not _is_expected(line)]


def _is_expected(line: str) -> bool:
    try:
        event = json.loads(line)
    except ValueError:
        return False
    if not isinstance(event, dict) or "exception" in event:
        return False
    pattern = _EXPECTED.get(str(event.get("logger")))
    return pattern is not None and pattern.match(str(event.get("message"))) is not None


@dataclass
class Counters:
    """All counters of all scrapes: none may fall as long as its series exists.

    ``figures`` are the last ones of each client, also of those who have been forgotten since.
    """

    fallen: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    _last: dict[str, float] = field(default_factory=dict)

    def see(self, exposition: Exposition) -> None:
        """Compare a scrape with those before it."""
        now = {key: exposition.values[key] for key in exposition.counters}
        for key, value in now.items():
            if value < self._last.get(key, 0.0):
                self.fallen.append(f"{key} fell from {self._last[key]:g} to {value:g}")
        # A name has its series for ever; somebody who visited once is forgotten and never comes
        # again, so that these need not be kept.
        self._last = {**{key: value for key, value in self._last.items() if _stays(key)}, **now}
        self.figures.update(exposition.figures())


def _stays(key: str) -> bool:
    return 'client_id="visit-' not in key and 'client_id="zz-' not in key


@dataclass(frozen=True)
class Differences:
    """What scrapes showed against what really happened; each entry names figure and client.

    ``exact``: differing for those of whom all was told, and for whom there was always room.
    ``high``: more than there was, for anybody. ``missing``: how much lacks of those whose node
    died, of ``untold`` connections whose end nobody told. ``presence``: shown as connected and not,
    or the other way round.
    """

    exact: list[str]
    high: list[str]
    missing: int
    presence: list[str]


def differences(
    figures: Mapping[str, float], truth: Mapping[str, float], there: set[str], shown: set[str]
) -> Differences:
    """Compare figures with the truth, and who is ``there`` with who is ``shown``."""
    exact, high = [], []
    missing: Counter[str] = Counter()
    for key in sorted({*figures, *truth}):
        mine, real = figures.get(key, 0.0), truth.get(key, 0.0)
        said = f"{key}: {mine:g}, really {real:g}"
        client_id = key.rpartition(" ")[2]
        if mine > real:
            high.append(said)
        elif mine < real and client_id.startswith("b-"):
            missing[client_id] += int(real - mine)
        elif mine < real and not client_id.startswith("zz-"):
            exact.append(said)
    wrong = [f"{one}: connected, shown as not" for one in sorted(there - shown)]
    wrong += [f"{one}: not connected, shown as such" for one in sorted(shown - there)]
    return Differences(exact, high, missing.total(), wrong)
