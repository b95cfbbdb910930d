"""A scripted life as a table of steps, each with what both kinds of counters have to export then.

::

    when | the broker has | mode | on | rx    | epochs | seen
       0 | nobody         |      | 0  |       | 0@0    |
      15 | on@10 rx=5     |      | 1  | 5@10  | 1@0    | 15
      30 | nobody         | live | 0  |       | 1@0    | 15
         |                | sum  | 0  | 5@10  | 1@0    | 15

A step begins with ``when`` it is: seconds since the agent began. Its other lines say more of it:
``mode`` says which counters a line is about, both kinds when it is empty or not there. A column
``client`` says whom a line is about; without it everything is about ``dev``.

The broker has rows, and things befall it, with ``;`` between them, in one line or several:

* a row: the client id (``dev`` when there is none), ``on@10`` (connected then) or ``off@10..20``
  (and left then), ``born@5`` (the session was created then) and the fields in ``SHORT``;
* ``nobody``: no rows; ``the same``, or no row at all: those of the step before;
* anything else befalls the broker or the agents, see ``stage``.

The other columns are all series that a client has, see ``playing``: an empty cell is a series that
must not be, and a series without a column must not be either. ``5@10`` is a value of 5 whose sum
began at 10. Columns of ``OF_AGENT`` are about no client and stand in the first line of a step.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from otel_emqx_monitor.simulator.cluster import node_names
from tests.lives.moments import iso

MODES = ("live", "sum")
_BESIDE_SERIES = ("when", "the broker has", "mode", "client")

#: Columns that say something of the agent: the series, and the labels beside ``broker``.
OF_AGENT: Mapping[str, tuple[str, str]] = {
    "up": ("up", ""),
    "over": ("clients_over_limit", ""),
    "run": ("nodes", "running"),
    "hang": ("nodes", "hanging"),
    "stop": ("nodes", "stopped"),
}

#: What fields of EMQX's rows are called here.
SHORT: Mapping[str, str] = {
    "rx": "recv_msg",
    "tx": "send_msg",
    "in": "recv_oct",
    "out": "send_oct",
    "lost": "mqueue_dropped",
    "queued": "mqueue_len",
    "rel": "awaiting_rel_cnt",
    "ver": "proto_ver",
    "user": "username",
    "node": "node",
}

#: What the nodes of a broker are called here.
NODES: Mapping[str, str] = dict(zip(("one", "two", "three"), node_names(3), strict=True))

_SPAN = re.compile(r"(on|off)@([-.\d]+?)(?:\.\.([-.\d]+))?")

Rows = list[dict[str, Any]]
#: What is exported of each client by column; a series that is not exported is missing.
Cells = dict[str, dict[str, str]]


@dataclass
class Step:
    """One step: ``rows`` are ``None`` where the broker has the same as before."""

    when: float
    rows: Rows | None = None
    befalls: list[str] = field(default_factory=list)
    clients: dict[str, Cells] = field(default_factory=lambda: {mode: {} for mode in MODES})
    agent: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Life:
    """The steps of a table, and its columns of series: those of clients, and those of the agent."""

    steps: Sequence[Step]
    of_clients: Sequence[str]
    of_agent: Sequence[str]


def read(text: str) -> Life:
    """Return the life that ``text`` describes."""
    head, *lines = [_cells(line) for line in text.strip().splitlines()]
    series = [name for name in head if name not in _BESIDE_SERIES]
    of_agent = [name for name in series if name in OF_AGENT]
    of_clients = [name for name in series if name not in OF_AGENT]
    steps: list[Step] = []
    for line in lines:
        cells = dict(zip(head, line, strict=True))
        if cells["when"]:
            told = {name: cells[name] for name in of_agent if cells[name]}
            steps.append(Step(float(cells["when"]), agent=told))
        _add(steps[-1], cells, of_clients)
    return Life(steps, of_clients, of_agent)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")]


def _add(step: Step, cells: Mapping[str, str], of_clients: Sequence[str]) -> None:
    for item in filter(None, map(str.strip, cells["the broker has"].split(";"))):
        if item == "nobody":
            step.rows = []
        elif _SPAN.search(item):
            step.rows = [*(step.rows or []), _row(item)]
        elif item != "the same":
            step.befalls.append(item)
    client = cells.get("client", "dev")
    told = {name: cells[name] for name in of_clients if cells[name]}
    if client and told:
        for mode in [cells["mode"]] if cells.get("mode") else MODES:
            assert client not in step.clients[mode], f"two lines are about {client} at {step.when}"
            step.clients[mode][client] = told


def _row(text: str) -> dict[str, Any]:
    words = text.split()
    client_id = words.pop(0) if words[0].isidentifier() else "dev"
    return {"clientid": client_id, **{name: value for word in words for name, value in _told(word)}}


def _told(word: str) -> Iterator[tuple[str, Any]]:
    if span := _SPAN.fullmatch(word):
        yield "connected", span[1] == "on"
        yield "connected_at", iso(float(span[2]))
        if span[3] is not None:
            yield "disconnected_at", iso(float(span[3]))
    elif word.startswith("born@"):
        yield "created_at", iso(float(word.removeprefix("born@")))
    else:
        name, value = word.split("=")
        told: Mapping[str, Callable[[str], Any]] = {"user": str, "node": NODES.__getitem__}
        yield SHORT[name], told.get(name, int)(value)
