"""The clients of the lab's broker: what happens to them while something fails, and what is true.

Polls cannot find what happened between two of them on a connection that is over by then. So whose
connection ends during a fault is quiet before; then all that was sent can be, and has to be, found.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from otel_emqx_monitor.simulator import StaticFleet
from tests.kill.world import Truth

#: A counter of a client: metric, client id, and direction (empty where there is none).
Series = tuple[str, str, str]

#: The clients by what befalls them.
STEADY, LEAVES, COMES, RECONNECTS, GONE, NEVER, ELSEWHERE = (
    *("steady", "leaves", "comes", "reconnects"),
    *("gone-before", "never-there", "elsewhere"),
)

_COUNTED = ("recv_msg", "send_msg", "recv_oct", "send_oct", "recv_pkt", "send_pkt")
_OF_THE_SOCKET = ("recv_oct", "send_oct")


class Devices:
    """Some clients, each with a fate.

    ``steady`` sends all the time. In the middle of the fault ``leaves`` disconnects and keeps its
    session, ``comes`` comes back to its own, and ``reconnects`` reconnects. ``gone-before`` was
    there once, ``never-there`` is watched and never was. ``elsewhere`` is as steady as ``steady``,
    on the second node of a cluster when there is ``another`` fleet.

    ``truth`` is what their counters came to; ``presence`` has whether each was connected, in order.
    ``ahead`` is by how many seconds EMQX's clock is ahead. While EMQX is ``down`` nothing happens.
    """

    def __init__(self, fleet: StaticFleet, another: StaticFleet | None = None) -> None:
        self.ahead = 0.0
        self.down = False
        self.truth = Truth()
        self.presence: dict[str, list[bool]] = {NEVER: [False]}
        self._fleet = fleet
        self._another = another
        self._quiet: set[str] = set()
        self._others: Sequence[Mapping[str, Any]] = ()
        self._rows: dict[str, dict[str, Any]] = {}
        for name in (STEADY, LEAVES, COMES, RECONNECTS, GONE, ELSEWHERE):
            self._begin(name)
        self._leave(COMES)  # before anybody could see it
        self.presence[COMES] = [False]

    @property
    def ids(self) -> list[str]:
        """The client ids to watch."""
        return list(self.presence)

    @property
    def sums(self) -> dict[Series, float]:
        """What counters that sum up have to say, without those that are 0."""
        return {series: value for series, value in self.truth.sums.items() if value}

    def crowd(self, count: int) -> None:
        """Let ``count`` clients more be there, of whom nothing is remembered here."""
        row = self._rows[STEADY]
        self._others = [{**row, "clientid": f"crowd-{number:05}"} for number in range(count)]
        self._show()

    def end(self, name: str) -> None:
        """Let a client's session end, so that EMQX has no row of it."""
        del self._rows[name]
        self._note(name, there=False)
        self._show()

    def begin_anew(self) -> None:
        """Take what is now for the begin: nobody could see what was before."""
        self.truth = Truth()
        self.presence = {name: said[-1:] for name, said in self.presence.items()}
        self._show()

    def hush(self) -> None:
        """Let those be quiet from now on who are to leave or to reconnect."""
        self._quiet |= {LEAVES, RECONNECTS}

    def silence(self, name: str) -> None:
        """Let a client be quiet from now on until it connects again."""
        self._quiet.add(name)

    def tick(self) -> None:
        """Let everybody send and receive who is connected and not quiet."""
        if self.down:
            return
        for number, (name, row) in enumerate(self._rows.items()):
            if row["connected"] and name not in self._quiet:
                for field in _COUNTED:
                    row[field] += 1 + number
        self._show()

    def turn(self) -> None:
        """Let everybody meet their fate: the middle of the fault."""
        if self.down:
            return
        self._quiet -= {LEAVES, RECONNECTS}
        self._leave(LEAVES)
        self.connect(COMES)
        self.connect(RECONNECTS)
        self.tick()

    def connect(self, name: str) -> None:
        """Let a client connect, again if it is connected; its counters begin at 0."""
        self._begin(name)
        self._show()

    def connect_all(self) -> None:
        """Let everybody who is connected reconnect, as after a restart of EMQX."""
        for name, row in list(self._rows.items()):
            if row["connected"]:
                self.connect(name)

    def served(self) -> Sequence[Mapping[str, Any]]:
        """The rows, as EMQX would show them now."""
        return [dict(row) for row in self._rows.values()]

    def _begin(self, name: str) -> None:
        now = self._now()
        self._quiet.discard(name)
        before = self._rows.get(name, {})
        self._rows[name] = {
            "clientid": name,
            "username": "user",
            "connected": True,
            "connected_at": now,
            "created_at": before.get("created_at", now),
            "mqueue_dropped": before.get("mqueue_dropped", 3),
            **dict.fromkeys(_COUNTED, 1),
        }
        self._note(name, there=True)

    def _leave(self, name: str) -> None:
        gone = {"connected": False, "disconnected_at": self._now()}
        self._rows[name] |= gone | dict.fromkeys(_OF_THE_SOCKET)
        self._note(name, there=False)
        self._show()

    def _note(self, name: str, *, there: bool) -> None:
        said = self.presence.setdefault(name, [])
        if said[-1:] != [there]:
            said.append(there)

    def _now(self) -> str:
        at = datetime.fromtimestamp(time.time() + self.ahead, UTC)
        return at.isoformat(timespec="milliseconds")

    def _show(self) -> None:
        rows = self.served()
        self.truth = self.truth.and_polls([rows])
        if self._another is None:
            self._fleet.replace([*rows, *self._others])
        else:
            self._another.replace([row for row in rows if row["clientid"] == ELSEWHERE])
            self._fleet.replace([row for row in rows if row["clientid"] != ELSEWHERE])


def shown_by(devices: Devices, change: Callable[[list[dict[str, Any]]], object]) -> dict[str, Any]:
    """Return a page of the devices' rows after ``change``."""
    rows = [dict(row) for row in devices.served()]
    change(rows)
    return {"data": rows, "meta": {"page": 1, "limit": 10_000, "hasnext": False}}
