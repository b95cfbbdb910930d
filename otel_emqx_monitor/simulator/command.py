"""The simulated broker alone, in the foreground: what ``otel-emqx-monitor simulate`` runs.

With several nodes it is the API of the first one; the others are reached through it.
"""

import json
import shlex
import time
from collections.abc import Callable

import click

from otel_emqx_monitor.signals import stop_signal
from otel_emqx_monitor.simulator.broker import DEFAULT_KEY, DEFAULT_SECRET, Broker
from otel_emqx_monitor.simulator.cluster import Cluster, node_names
from otel_emqx_monitor.simulator.fleet import REFRESH_SECONDS, ProceduralFleet
from otel_emqx_monitor.simulator.fleet_events import posting
from otel_emqx_monitor.simulator.integration import Integration, listens
from otel_emqx_monitor.simulator.server import Simulator

_IN_THE_EXAMPLE = 3


def run_simulator(  # noqa: PLR0913 - one for each option of the command
    clients: int,
    port: int,
    seed: int,
    *,
    nodes: int = 1,
    host: str = "127.0.0.1",
    key: str = DEFAULT_KEY,
    secret: str = DEFAULT_SECRET,
    version: str = "5.8.9",
    refresh_seconds: float = REFRESH_SECONDS,
    echo: Callable[[str], object] = click.echo,
) -> None:
    """Run a simulated broker until SIGINT or SIGTERM, then return; exit code 0 is due.

    ``port`` 0 takes any free port. What to do with the broker is said through ``echo``. Has to be
    called in the main thread, as signals are. Raises ``ListenError`` when the address is taken,
    its text being one line for a person, and ``ValueError`` for an impossible number of clients or
    nodes, refresh or version.
    """
    started_at = time.time()
    fleet = ProceduralFleet(clients, seed, started_at, refresh_seconds)
    spread = dict(zip(node_names(nodes), fleet.on_nodes(nodes), strict=True))
    cluster = Cluster(spread, started_at=started_at)
    broker = Broker(
        source=cluster,
        version=version,
        key=key,
        secret=secret,
        integration=Integration(reaches=listens),
    )
    with (
        stop_signal() as wait_for_stop,
        Simulator(broker, host, port) as simulator,
        posting(fleet, cluster.names, broker.integration),
    ):
        echo(introduction(simulator, fleet, seed))
        wait_for_stop()
    echo("The simulated broker has stopped.")


def introduction(simulator: Simulator, fleet: ProceduralFleet, seed: int) -> str:
    """Return what a person needs to use ``simulator``: address, key, a request, and a config."""
    broker = simulator.broker
    clients = len(fleet.client_ids)
    credentials = shlex.quote(f"{broker.key}:{broker.secret}")
    config = {
        "api_url": simulator.url,
        "api_key": broker.key,
        "api_secret": broker.secret,
        "alias": "simulated",
    }
    lines = [
        f"This broker is SIMULATED: EMQX {broker.version}'s REST API and no MQTT.",
        f"Its {clients} clients are made up (seed {seed}); about nine in ten are connected.",
        "Told where to by otel-emqx-monitor setup-events, it posts events in real time.",
        "",
        f"  URL     {simulator.url}",
        f"  key     {broker.key}",
        f"  secret  {broker.secret}",
        "",
        "Ask it:",
        "",
        f"  curl -u {credentials} '{simulator.url}v5/clients?limit=2'",
        "",
        "Watch it, with a config like this:",
        "",
        "  emqx:",
        *(f"    {name}: {json.dumps(value)}" for name, value in config.items()),
        "  monitored_clients:",
        *(
            f"    - {{alias: {client_id}, client_id: {client_id}}}"
            for client_id in fleet.client_ids[:_IN_THE_EXAMPLE]
        ),
        "",
        *_control(simulator),
        "Ctrl-C stops it.",
    ]
    return "\n".join(lines)


def _control(simulator: Simulator) -> list[str]:
    first, *others = simulator.broker.cluster.names
    if not others:
        return []
    control = simulator.url.removesuffix("api/") + "simulator"
    return [
        f"It has {1 + len(others)} nodes: {', '.join([first, *others])}; the first one answers.",
        "Freeze one (or thaw, kill, start it); this needs no key:",
        "",
        f"  curl -X POST '{control}/nodes/{others[0]}/freeze'",
        "",
        "See the nodes and what else can be done:",
        "",
        f"  curl '{control}'",
        "",
    ]
