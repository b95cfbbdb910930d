"""Draws docs/images: what `check`, `/metrics` and the landing page show of a simulated broker."""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import requests
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from otel_emqx_monitor import report
from otel_emqx_monitor.agent import Agent
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.emqx.client import EmqxClient
from otel_emqx_monitor.fleet import Watched
from otel_emqx_monitor.selection import selection_of
from otel_emqx_monitor.simulator import Broker, ProceduralFleet, Simulator
from otel_emqx_monitor.tracker import Habits, Tracker

IMAGES = Path(__file__).parent.parent / "docs" / "images"
NOW = datetime(2026, 11, 22, 17, 30, tzinfo=UTC).timestamp()
ROOMS = ["Cellar", "Garage", "Garden", "Hall", "Kitchen", "Office", "Roof", "Workshop"]


def draw(name: str, lines: list[str], title: str) -> None:
    """Write what a terminal would show as a picture that needs no font from elsewhere."""
    texts = [Text.from_ansi(line) for line in lines]
    width = max(cell_len(text.plain) for text in texts)
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=width, file=nowhere, force_terminal=True)
        for text in texts:
            console.print(text, soft_wrap=True)
    svg = console.export_svg(title=title, unique_id=name)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"Fira Code", "ui-monospace, 'DejaVu Sans Mono'", svg)
    (IMAGES / f"{name}.svg").write_text(re.sub(r"[ \t]+\n", "\n", svg))


def config_for(simulator: Simulator, targets: list[Watched]) -> Config:
    """Return what an agent needs that watches ``targets``."""
    return Config.model_validate(
        {
            "emqx": {
                "api_url": simulator.url,
                "api_key": simulator.broker.key,
                "api_secret": simulator.broker.secret,
                "alias": "home",
            },
            "monitored_clients": [
                {"alias": one.alias, "client_id": one.client_id} for one in targets
            ],
            "prometheus": {"address": "127.0.0.1", "port": 0},
        }
    )


def check_lines(config: Config, targets: list[Watched]) -> list[str]:
    """Return what a terminal shows of `check`."""
    ids = [target.client_id for target in targets]
    poll = EmqxClient(config.emqx, report.FIELDS, ids, deadline_seconds=10).poll()
    fleet = Tracker(selection_of(config), Habits(), NOW).apply(poll)
    now = datetime.fromtimestamp(NOW, UTC)
    table = report.render_table(fleet, now, color=True, encoding="utf-8")
    return ["$ otel-emqx-monitor check", *table, report.summary(fleet, NOW)]


def metrics_lines(config: Config) -> list[str]:
    """Return the beginnings of some metrics of a scrape."""
    agent = Agent(config)
    agent.start()
    text = requests.get(f"{agent.url}metrics", timeout=10).text
    agent.stop()
    shown = ["$ curl -s localhost:9671/metrics"]
    for name in ("connected", "messages_processed_total", "up", "clients"):
        found = re.findall(rf"^(?:# \w+ )?emqx_client_monitor_{name}\b.*$", text, re.MULTILINE)
        shown += islice(found, 6)
    return shown


def photograph_page() -> None:
    """Write what a browser shows of the landing page of an agent that watches 200 clients."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("landing.png needs chromium: apt-get install chromium")
    started_at = time.time() - 30 * 86_400
    fleet = ProceduralFleet(200, 7, started_at)
    with Simulator(Broker(source=fleet, started_at=started_at)) as simulator:
        ids = sorted(fleet.client_ids, key=lambda client_id: client_id[::-1])
        targets = [Watched(room, ids[3 * number]) for number, room in enumerate(ROOMS)]
        settings = config_for(simulator, targets).model_dump(exclude_defaults=True)
        settings["emqx"] |= {"api_key": simulator.broker.key, "api_secret": simulator.broker.secret}
        settings["monitored_clients"] = [
            *({**one, "expected_every_seconds": 600} for one in settings["monitored_clients"]),
            {"client_id_glob": "*"},
        ]
        settings["polling"] = {"interval_seconds": 15}
        agent = Agent(Config.model_validate(settings))
        agent.start()
        while agent_is_waiting(agent.url):
            time.sleep(1)
        with tempfile.TemporaryDirectory() as profile:
            subprocess.run(  # noqa: S603 (Debian's browser, on a page of our own)
                [
                    chromium,
                    *CHROMIUM_FLAGS,
                    f"--user-data-dir={profile}",
                    f"--screenshot={IMAGES / 'landing.png'}",
                    agent.url,
                ],
                check=True,
                capture_output=True,
            )
        agent.stop()


def agent_is_waiting(url: str) -> bool:
    """Whether the agent has not polled yet; to look makes it tell of a scrape, too."""
    return 'state="connected"} 0' in requests.get(f"{url}metrics", timeout=10).text


CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1280,1000",
)


def main() -> None:
    """Draw all pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    fleet = ProceduralFleet(30, 7, NOW - 30 * 86_400)
    ids = sorted(fleet.client_ids, key=lambda client_id: client_id[::-1])
    targets = [Watched(room, ids[3 * number]) for number, room in enumerate(ROOMS)]
    broker = Broker(source=fleet, clock=lambda: NOW, started_at=NOW - 30 * 86_400)
    with Simulator(broker) as simulator:
        config = config_for(simulator, targets)
        draw("check", check_lines(config, targets), "check")
        draw("metrics", metrics_lines(config), "metrics")
    photograph_page()


if __name__ == "__main__":
    main()
