"""The cases of the original tool; this runs in its environment, without a line of this program."""

from importlib.metadata import version

from emqx_client_monitor.config.schema import (  # type: ignore[import-not-found]  # is not here
    AgentConfig,
    EmqxConfig,
    PrometheusConfig,
)
from emqx_client_monitor.emqx.api import get_current_clients  # type: ignore[import-not-found]
from emqx_client_monitor.emqx.client_info import ClientInfo  # type: ignore[import-not-found]
from emqx_client_monitor.prom import exporter  # type: ignore[import-not-found]
from prometheus_client import REGISTRY, generate_latest

from benchmarks import rows
from benchmarks.measuring import Job, Measured, main, measure

#: The simulated broker's, and the label ``broker`` of all that is measured.
_ACCESS = {"api_key": "simulated-key", "api_secret": "simulated-secret", "alias": "bench"}


def scrape(job: Job) -> Measured:
    """New clients to the bytes of an exposition."""
    found: dict[str, ClientInfo] = {}
    exporter.get_current_clients = lambda **_: found
    collector = exporter.LazyCollector(_config(job))
    collector.ttl_s = -1  # every collect asks for the clients
    REGISTRY.register(collector)

    def prepare(turn: int) -> None:
        numbers = range(job.clients)
        found.update(
            {rows.alias(number): ClientInfo.from_dict(rows.row(number, turn)) for number in numbers}
        )

    def render(_: None) -> bytes:
        return generate_latest(REGISTRY)

    return measure(job, prepare, render, lambda made: made.count(b',client_id="'))


def _config(job: Job) -> AgentConfig:
    names = [name for name in PrometheusConfig.model_fields if name.startswith("enable_")]
    numbers = range(job.clients)
    return AgentConfig(
        emqx=EmqxConfig(api_url="http://127.0.0.1:9/api", **_ACCESS),
        monitored_clients=[
            {"alias": rows.alias(number), "client_id": rows.client_id(number)} for number in numbers
        ],
        prometheus=PrometheusConfig(**dict.fromkeys(names, True) if job.all_flags else {}),
    )


def poll(job: Job) -> Measured:
    """A poll of the first page of all clients: more than some 300 cannot be asked for by name."""
    config = EmqxConfig(api_url=job.url.removesuffix("/"), timeout_seconds=60, **_ACCESS)
    return measure(job, lambda turn: turn, lambda _: get_current_clients(config, []), len)


def versions(_: Job) -> Measured:
    """Nothing is measured: which libraries these are."""
    names = ("emqx-client-monitor", "prometheus_client")
    return Measured(note=", ".join(f"{name} {version(name)}" for name in names))


if __name__ == "__main__":
    main({"scrape": scrape, "poll": poll, "versions": versions})
