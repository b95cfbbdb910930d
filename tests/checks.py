"""What the tests of ``check`` share: rows of clients, configurations, and how to read a table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from otel_emqx_monitor.simulator import Simulator
from tests.processes import settings, write_config


def row(client_id: str, **fields: Any) -> dict[str, Any]:
    at = "2020-01-01T17:20:32.376+00:00"
    return {
        "clientid": client_id,
        "connected": True,
        "connected_at": at,
        "created_at": at,
        **fields,
    }


def expecting(client_id: str, seconds: float) -> dict[str, Any]:
    return {"alias": client_id, "client_id": client_id, "expected_every_seconds": seconds}


def config(
    folder: Path,
    broker: Simulator,
    *entries: Mapping[str, Any] | str,
    state: Path | None = None,
    clients: str | None = None,
) -> str:
    """Write a configuration that watches ``entries``; a string is a client id and its alias."""
    written = settings(broker.url)
    written["monitored_clients"] = clients or [
        {"alias": one, "client_id": one} if isinstance(one, str) else dict(one) for one in entries
    ]
    if state is not None:
        written["state"] = {"path": str(state)}
    return write_config(folder, written)


def names(lines: list[str]) -> list[str]:
    """The first column of the rows of a table."""
    return [line.split("│")[1].strip() for line in lines if line.startswith("│")]
