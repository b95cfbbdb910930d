"""Plays a simulated cluster for some minutes and draws what the dashboards would show of it."""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dashboards.draw import Answers, Json, draw_row
from otel_emqx_monitor.simulator import Cluster, ProceduralFleet
from otel_emqx_monitor.simulator.fleet_events import posting
from tests.examples.asking import Span, answer, questions, untouched
from tests.examples.stage import SCRAPED, Stage, stage

_SEED, _CLIENTS, _PACE = 5, 240, 5
_NODES = ["emqx@node-1", "emqx@node-2", "emqx@node-3"]
_WATCHED: list[dict[str, Any]] = [
    {"client_id": "boiler", "alias": "Boiler", "expected_every_seconds": 300},
    {"client_id_glob": "meter-*", "expected_every_seconds": 240},
    {"client_id_glob": "*"},
]

_Act = tuple[float, str, Callable[[Stage, Cluster], object]]

#: What happens, at which part of the time.
_ACTS: Sequence[_Act] = (
    (0.30, "a node hangs", lambda _, cluster: cluster.freeze(_NODES[2])),
    (0.38, "it goes on", lambda _, cluster: cluster.thaw(_NODES[2])),
    (0.55, "another one dies", lambda _, cluster: cluster.kill(_NODES[1])),
    (0.63, "it is started again", lambda _, cluster: cluster.start(_NODES[1])),
    (0.74, "EMQX's API is gone", lambda running, _: running.simulator.stop()),
    (0.90, "it is back", lambda running, _: running.simulator.start()),
    (0.97, "a node hangs again", lambda _, cluster: cluster.freeze(_NODES[2])),
)


def render(folder: Path, images: Path, minutes: float) -> None:
    """Draw each row of each dashboard in ``folder`` into a PNG in ``images``."""
    dashboards = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    for (name, title), panels, answers in play(dashboards, minutes):
        draw_row(panels, answers, images / f"dashboard-{name}-{title}.png")


def play(
    dashboards: Sequence[Json], minutes: float
) -> Iterator[tuple[tuple[str, str], Sequence[Json], Answers]]:
    """Let it all happen, then yield the panels of each row with what their queries gave."""
    started = time.time()
    fleet = ProceduralFleet(_CLIENTS, _SEED, started - 86_400)
    cluster = Cluster(dict(zip(_NODES, fleet.on_nodes(3), strict=True)), started_at=started)
    with (
        tempfile.TemporaryDirectory() as files,
        stage(cluster, _WATCHED, Path(files), pace=_PACE, stale=60) as running,
        posting(fleet, _NODES, running.broker.integration),
    ):
        began, seconds = time.time(), 60 * minutes
        for part, what, act in _ACTS:
            time.sleep(max(0.0, began + part * seconds - time.time()))
            sys.stderr.write(f"dashboard: {part:.0%}: {what}\n")
            act(running, cluster)
        time.sleep(max(0.0, began + seconds - time.time()))
        end = time.time() // _PACE * _PACE
        span = Span(end=end, seconds=int(seconds), step=_PACE)
        for dashboard in dashboards:
            choices = _choices(running, dashboard)
            answers = {
                (one.panel, one.ref): answer(running.server, dashboard, one, choices, span)
                for one in questions(dashboard)
            }
            name = dashboard["uid"].rpartition("-")[2]
            for title, panels in _rows(dashboard):
                yield (name, title), panels, answers


def _choices(running: Stage, dashboard: Json) -> Mapping[str, Sequence[str]]:
    """Choose the scraped series, and of the clients a gateway and the tracker most on the move."""
    trackers = f'emqx_client_monitor_connected{{job="{SCRAPED}",client_id=~"tracker.*"}}'
    query = f"topk(1, changes({trackers}[1h]))"
    [tracker] = running.server.query(query)
    clients = [tracker.labels["client_id"], "gateway-000004"]
    return {**untouched(dashboard), "job": [SCRAPED], "client_id": clients}


def _rows(dashboard: Json) -> Iterator[tuple[str, Sequence[Json]]]:
    """Yield the panels of each row, with the first word of its title."""
    heading, panels = "", list[Json]()
    for panel in [*dashboard["panels"], {"type": "row", "title": ""}]:
        if panel["type"] != "row":
            panels.append(panel)
            continue
        if panels:
            yield heading, panels
        heading, panels = panel["title"].lower().split(":")[0].split(" ")[0], []
