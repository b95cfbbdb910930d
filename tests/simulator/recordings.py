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
