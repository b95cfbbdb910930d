"""Wires the parts together: a configuration in, a running agent out."""

import logging
from functools import partial
from pathlib import Path

from otel_emqx_monitor.cache import Freshness, SnapshotCache
from otel_emqx_monitor.config import Config, load
from otel_emqx_monitor.emqx.client import EmqxClient
from otel_emqx_monitor.instruments import fields_for
from otel_emqx_monitor.presence import Watched, assess, nothing_known
from otel_emqx_monitor.readers.prometheus import PrometheusReader
from otel_emqx_monitor.server import MetricsServer
from otel_emqx_monitor.signals import stop_signal
from otel_emqx_monitor.snapshot import Source

log = logging.getLogger(__name__)


def open_source(config_path: str | Path | None = None) -> Source:
    """Return a source of snapshots for applications that embed the instruments.

    Args:
        config_path: the YAML file; ``None`` takes the default places.

    Raises:
        ConfigError: the file cannot be used; the message lists all that is wrong.
    """
    config = load(None if config_path is None else Path(config_path))
    return _make_cache(config, _make_client(config))


def watched(config: Config) -> list[Watched]:
    """Return the clients that ``config`` names, in its order."""
    return [Watched(client.alias, client.client_id) for client in config.monitored_clients]


class Agent:
    """Everything that runs for one configuration.

    Raises:
        ListenError: the address for ``/metrics`` cannot be had.
    """

    def __init__(self, config: Config) -> None:
        self._client = _make_client(config)
        self._cache = _make_cache(config, self._client)
        self._reader = PrometheusReader(self._cache)
        self._server = MetricsServer(
            self._cache, self._reader, config.prometheus.address, config.prometheus.port
        )
        self._broker = config.emqx.alias
        self._count = len(config.monitored_clients)

    @property
    def url(self) -> str:
        """Where the agent's HTTP server answers."""
        return self._server.url

    def start(self) -> None:
        """Begin to serve; the first scrape makes the first poll."""
        self._server.start()
        log.info(
            "serving the metrics of %d clients of %s on %smetrics",
            self._count,
            self._broker,
            self.url,
        )
        if not self._count:
            log.warning(
                "monitored_clients is empty: only the agent's own metrics are exported;"
                " add the alias and client_id of each client to watch"
            )

    def stop(self) -> None:
        """Finish answers under way, cut off a poll under way, and release everything."""
        self._server.stop()
        self._client.close()
        self._reader.shutdown()


def run(config: Config) -> None:
    """Run an agent until SIGTERM or SIGINT.

    Raises:
        ListenError: the address for ``/metrics`` cannot be had.
    """
    with stop_signal() as stopped:
        agent = Agent(config)
        agent.start()
        stopped.wait()
        log.info("stopping")
        agent.stop()


def _make_client(config: Config) -> EmqxClient:
    return EmqxClient(
        config.emqx,
        fields_for(config.prometheus.flags),
        [client.client_id for client in config.monitored_clients],
        deadline_seconds=config.polling.deadline_seconds,
    )


def _make_cache(config: Config, client: EmqxClient) -> SnapshotCache:
    targets = watched(config)
    return SnapshotCache(
        config.emqx.alias,
        client.poll,
        partial(assess, watched=targets),
        nothing_known(targets),
        Freshness(config.prometheus.ttl_seconds, config.stale_after_seconds),
        flags=config.prometheus.flags,
    )
