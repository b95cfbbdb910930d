"""Writes the dashboards, or draws them: ``scripts/dashboard``."""

import argparse
import json
from pathlib import Path

from dashboards import agent, client, fleet
from dashboards.grafana import as_json

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "grafana" / "dashboards"


def write(folder: Path) -> None:
    """Write each dashboard into ``folder``, under its name."""
    for one in (fleet.DASHBOARD, client.DASHBOARD, agent.DASHBOARD):
        text = json.dumps(as_json(one), indent=2, ensure_ascii=False)
        (folder / f"{one.name}.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="scripts/dashboard", description=__doc__)
    parser.add_argument("--to", type=Path, default=FOLDER, help="the folder to write into")
    parser.add_argument(
        "--render",
        nargs="?",
        type=float,
        const=9.0,
        metavar="MINUTES",
        help="draw docs/images/dashboard-*.png of a simulated run that takes so long",
    )
    wanted = parser.parse_args()
    if wanted.render is None:
        write(wanted.to)
        return
    from dashboards.rendering import render  # needs what writing does not

    render(FOLDER, ROOT / "docs" / "images", wanted.render)


if __name__ == "__main__":
    main()
