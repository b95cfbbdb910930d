"""What a running EMQX 5.8.9 answered, as recorded; see ``tests/recordings``."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent.parent / "recordings"


@dataclass(frozen=True)
class Exchange:
    """One recorded request and its answer; ``body`` is decoded when it was JSON."""

    method: str
    target: str
    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class ClusterExchange:
    """One recorded request to node 1 or 2 of a cluster of two, and its answer."""

    target: str
    asked: int
    status: int
    body: Any


def cluster_exchanges() -> list[ClusterExchange]:
    """Return what was asked of a cluster of two nodes, in the order it was asked."""
    recorded = json.loads((_FOLDER / "cluster_two_nodes.json").read_text())
    return [
        ClusterExchange(
            target=one["request"].split(" ")[1],
            asked=int(one["asked"].removeprefix("node ")),
            status=int(one["status_line"].split(" ")[1]),
            body=one["json"],
        )
        for one in recorded
    ]


def node_loss(phase: str) -> list[dict[str, Any]]:
    """Return what node 1 of two said while "node 2 frozen", "thawed" or "killed"."""
    recorded = json.loads((_FOLDER / "cluster_node_loss.json").read_text())
    return list(recorded[phase])


def exchange(name: str) -> Exchange:
    recorded = json.loads((_FOLDER / f"{name}.json").read_text())
    method, target, _ = recorded["request"].split(" ")
    return Exchange(
        method=method,
        target=target,
        status=int(recorded["status_line"].split(" ")[1]),
        headers=dict(recorded["headers"]),
        body=recorded["json"] if "json" in recorded else recorded["body"],
    )


def rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of a recorded list, or the row of a recorded lookup."""
    body = exchange(name).body
    return list(body.get("data", [body]))
