"""The agent on a simulated broker, for a first look within a minute."""

import time

import click

from otel_emqx_monitor.agent import Agent
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.signals import stop_signal
from otel_emqx_monitor.simulator import Broker, ProceduralFleet, Simulator

_SEED = 1
_AGES_SECONDS = 3 * 86_400  # how long the simulated broker seems to have run


def run_demo(clients: int, port: int) -> None:
    """Run a simulated broker and an agent that watches all its clients, until SIGTERM or SIGINT.

    Args:
        clients: how many clients to simulate.
        port: where the agent serves ``/metrics``, on all addresses of this machine's loopback.

    Raises:
        ListenError: the port cannot be had.
    """
    started_at = time.time() - _AGES_SECONDS
    fleet = ProceduralFleet(clients, _SEED, started_at)
    broker = Broker(source=fleet, started_at=started_at)
    with stop_signal() as wait_for_stop, Simulator(broker) as simulator:
        agent = Agent(_config(simulator, list(fleet.client_ids), port))
        agent.start()
        click.echo(
            f"\nA demo: {clients} clients of a SIMULATED broker, nothing here is real."
            f"\n\n    {agent.url}  for people\n    {agent.url}metrics  for Prometheus"
            "\n\nCtrl-C ends it.\n"
        )
        wait_for_stop()
        agent.stop()
    click.echo("The demo has ended.")


def _config(simulator: Simulator, client_ids: list[str], port: int) -> Config:
    return Config.model_validate(
        {
            "emqx": {
                "api_url": simulator.url,
                "api_key": simulator.broker.key,
                "api_secret": simulator.broker.secret,
                "alias": "simulated",
            },
            "monitored_clients": [
                {"alias": f"Device {number}", "client_id": client_id}
                for number, client_id in enumerate(client_ids, start=1)
            ],
            "prometheus": {"port": port, "address": "127.0.0.1", "ttl_seconds": 5},
        }
    )
