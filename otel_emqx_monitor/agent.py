"""Wires the parts together: a configuration in, a running agent out."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from otel_emqx_monitor.cache import SnapshotCache
from otel_emqx_monitor.config import Config, OtlpConfig, load
from otel_emqx_monitor.deadline import Deadline
from otel_emqx_monitor.page import LandingPage
from otel_emqx_monitor.readers.prometheus import PrometheusReader
from otel_emqx_monitor.server import Access, MetricsServer
from otel_emqx_monitor.signals import stop_signal
from otel_emqx_monitor.snapshot import Source
from otel_emqx_monitor.watching import Watch

if TYPE_CHECKING:
    from otel_emqx_monitor.readers.otlp import OtlpReader

log = logging.getLogger(__name__)

#: How long the events that have come and the last push take at most; with the two seconds of the
#: HTTP server a shutdown stays within ten.
_STOP_SECONDS, _DRAIN_SECONDS = 7.5, 2.0


def open_source(config_path: str | Path | None = None) -> Source:
    """Return a source of snapshots for applications that embed the instruments.

    With ``polling.interval_seconds`` it begins to poll at once, in a thread of its own.

    Args:
        config_path: the YAML file; ``None`` takes the default places.

    Raises:
        ConfigError: the file cannot be used; the message lists all that is wrong.
    """
    watch = Watch(load(None if config_path is None else Path(config_path)))
    watch.start()
    return watch.cache


class Agent:
    """Everything that runs for one configuration.

    Args:
        config: what to watch, and how.
        serve: whether to serve ``/metrics`` for Prometheus.
        push: whether to push to a Collector, as ``config.otlp`` says.

    Raises:
        ListenError: the address for ``/metrics`` cannot be had.
        ExporterError: the settings for pushing cannot be used.
    """

    def __init__(self, config: Config, *, serve: bool = True, push: bool = False) -> None:
        self._watch = Watch(config, push=push)
        self._watching = f"{config.whom} of {config.emqx.alias}"
        self._anybody = bool(config.monitored_clients)
        self._pusher: OtlpReader | None = None
        self._server: MetricsServer | None = None
        try:
            self._make_readers(config, serve=serve, push=push)
        except BaseException:
            self._watch.stop()
            raise

    def _make_readers(self, config: Config, *, serve: bool, push: bool) -> None:
        cache = self._watch.cache
        if push:
            self._pusher = _make_pusher(config, config.otlp or OtlpConfig(), cache)
        if serve:
            where, routes = config.prometheus, self._watch.routes
            reader = PrometheusReader(cache)
            file = where.web_config_file
            self._server = MetricsServer(
                cache,
                reader,
                where.address,
                where.port,
                page=LandingPage(cache, reader, config),
                routes=routes,
                access=Access(None if file is None else Path(file), where.max_connections),
            )

    @property
    def url(self) -> str:
        """Where the agent's HTTP server answers; empty without one."""
        return self._server.url if self._server else ""

    def start(self) -> None:
        """Begin to poll, to serve and to push; without a schedule the first reader polls first."""
        self._watch.start()
        if self._server:
            self._server.start()
            log.info("serving the metrics of %s on %smetrics", self._watching, self.url)
        if self._pusher:
            self._pusher.start()
            log.info("pushing the metrics of %s every %g s", self._watching, self._pusher.interval)
        if self._watch.routes and not self._server:
            log.warning(
                "events.webhook is of no use without the HTTP server, which this command does not"
                " start; use the command run, or events.mqtt"
            )
        if not self._anybody:
            log.warning(
                "monitored_clients is empty: only the agent's own metrics are exported;"
                " add the alias and client_id of each client to watch"
            )

    def stop(self) -> None:
        """Count the events that have come, push a last time, cut off a poll; within 10 s.

        Answers under way may finish; events that still come are refused, and EMQX keeps them.
        """
        deadline = Deadline(_STOP_SECONDS)
        self._watch.drain(_DRAIN_SECONDS)
        if self._pusher:
            self._pusher.stop(deadline.remaining)
        self._watch.stop()
        if self._server:
            self._server.stop()


def run(config: Config, *, serve: bool, push: bool) -> None:
    """Run an agent until SIGTERM or SIGINT.

    Raises:
        ListenError: the address for ``/metrics`` cannot be had.
        ExporterError: the settings for pushing cannot be used.
    """
    with stop_signal() as wait_for_stop:
        agent = Agent(config, serve=serve, push=push)
        agent.start()
        wait_for_stop()
        log.info("stopping")
        agent.stop()


def _make_pusher(config: Config, settings: OtlpConfig, cache: SnapshotCache) -> "OtlpReader":
    from otel_emqx_monitor.readers.exporter import make_exporter
    from otel_emqx_monitor.readers.otlp import OtlpReader, resource_of, schedule_of

    resource = resource_of(config.emqx.alias)
    return OtlpReader(cache, make_exporter(settings), resource, schedule_of(settings))
