"""Wires the parts together: a configuration in, a running agent out."""

import gc
import logging
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from otel_emqx_monitor import background
from otel_emqx_monitor.cache import SnapshotCache
from otel_emqx_monitor.config import Config, OtlpConfig, load
from otel_emqx_monitor.deadline import Deadline
from otel_emqx_monitor.health import health_routes
from otel_emqx_monitor.listening import ListenError
from otel_emqx_monitor.page import LandingPage
from otel_emqx_monitor.pulse import Pulse
from otel_emqx_monitor.readers.prometheus import PrometheusReader
from otel_emqx_monitor.server import Access, MetricsServer
from otel_emqx_monitor.snapshot import Reload, Source
from otel_emqx_monitor.watching import Watch

if TYPE_CHECKING:
    from starlette.routing import Route

    from otel_emqx_monitor.readers.otlp import OtlpReader, Target

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
    """Everything that runs for one configuration, and for those that follow it.

    Args:
        config: what to watch, and how.
        serve: whether to serve ``/metrics`` for Prometheus.
        push: whether to push to a Collector, as ``config.otlp`` says.

    Raises:
        ListenError: the address for ``/metrics`` cannot be had.
        ExporterError: the settings for pushing cannot be used.
    """

    def __init__(self, config: Config, *, serve: bool = True, push: bool = False) -> None:
        self._config = config
        self._watch = Watch(config, push=push)
        self._reload = Reload(successful=True, succeeded_at=time.time())
        self._watch.cache.note_reload(self._reload)
        self._pusher: OtlpReader | None = None
        self._server: MetricsServer | None = None
        try:
            if push:
                self._pusher = _make_pusher(_target(config, self._watch.cache))
            if serve:
                self._server = self._make_server(config, self._watch)
        except BaseException:
            self._watch.stop()
            raise

    def _make_server(self, config: Config, watch: Watch) -> MetricsServer:
        where = config.prometheus
        reader = self._make_reader(watch)
        return MetricsServer(
            watch.cache,
            reader,
            where.address,
            where.port,
            routes=self._routes(config, watch, reader),
            access=_access(config),
        )

    def _make_reader(self, watch: Watch) -> PrometheusReader:
        return PrometheusReader(watch.cache, self._server.reader if self._server else None)

    def _routes(self, config: Config, watch: Watch, reader: PrometheusReader) -> "list[Route]":
        page = LandingPage(watch.cache, reader, config)
        return [page.route, *health_routes(watch.cache, lambda: self.pulses), *watch.routes]

    @property
    def url(self) -> str:
        """Where the agent's HTTP server answers; empty without one."""
        return self._server.url if self._server else ""

    @property
    def watching(self) -> str:
        """Whom it watches, in words."""
        return f"{self._config.whom} of {self._config.emqx.alias}"

    @property
    def pulses(self) -> Sequence[Pulse]:
        """Those of all loops that have to turn."""
        others = [one.pulse for one in (self._pusher, self._server) if one is not None]
        return [*self._watch.pulses, *others]

    def start(self) -> None:
        """Begin to poll, to serve and to push; without a schedule the first reader polls first."""
        self._watch.start()
        if self._server:
            self._server.start()
            log.info("serving the metrics of %s on %smetrics", self.watching, self.url)
        if self._pusher:
            self._pusher.start()
            log.info("pushing the metrics of %s every %g s", self.watching, self._pusher.interval)
        self._warn()

    def _warn(self) -> None:
        if self._watch.routes and not self._server:
            log.warning(
                "events.webhook is of no use without the HTTP server, which this command does not"
                " start; use the command run, or events.mqtt"
            )
        if not self._config.monitored_clients:
            log.warning(
                "monitored_clients is empty: only the agent's own metrics are exported;"
                " add the alias and client_id of each client to watch"
            )

    def reload(
        self, config: Config, *, push: bool = False, changed_files: Collection[Path] = ()
    ) -> None:
        """Let ``config`` take over: counters, memory and what is open go on as far as they can.

        Args:
            config: the new configuration.
            push: whether to push to a Collector, as ``config.otlp`` says.
            changed_files: files that it names, such as certificates, and that have changed.

        Raises:
            ListenError, ExporterError: it cannot be used; nothing has changed.
        """
        with ExitStack() as undo:
            watch = Watch(config, push=push, earlier=self._watch, changed_files=changed_files)
            undo.callback(watch.abandon)
            target = _target(config, watch.cache) if push else None
            if target is not None:
                undo.callback(target.sender.shutdown)
            server = self._server
            if server is not None and _place(config) != _place(self._config):
                server = self._move(config, watch)
            undo.pop_all()
        self._reload = Reload(successful=True, succeeded_at=time.time())
        watch.take_over(self._watch, _DRAIN_SECONDS)
        watch.cache.note_reload(self._reload)
        self._watch, self._config = watch, config
        watch.start()
        self._serve(server)
        self._push(target)
        log.info("a new configuration is in force: %s", self.watching)
        self._warn()
        gc.collect()  # what the one before held is in cycles; of many clients it is much

    def note_reload(self, *, successful: bool) -> None:
        """Let metrics tell whether the configuration on disk is good, without one taking over."""
        self._reload = Reload(successful, self._reload.succeeded_at)
        self._watch.cache.note_reload(self._reload)

    def _move(self, config: Config, watch: Watch) -> MetricsServer:
        """Return a server that listens at the new place, beside the one at the old place."""
        try:
            return self._make_server(config, watch)
        except ListenError as error:
            if config.prometheus.port != self._config.prometheus.port:
                raise
            raise ListenError(
                f"{error}; an agent that runs cannot keep the port when prometheus.web_config_file"
                " or prometheus.max_connections changes, or the address to one that covers the"
                " other: restart it"
            ) from None

    def _serve(self, server: MetricsServer | None) -> None:
        """Serve what is watched now on ``server``, and end the one before it."""
        before, self._server = self._server, server
        if server is None:
            return
        if server is before:
            reader = self._make_reader(self._watch)
            routes = self._routes(self._config, self._watch, reader)
            server.show(self._watch.cache, reader, routes)
            return
        server.start()
        log.info("serving the metrics on %smetrics", server.url)
        if before is not None:
            before.stop()

    def _push(self, target: "Target | None") -> None:
        """Push to ``target`` from now on, or not at all."""
        pusher = self._pusher
        if target is not None and pusher is not None:
            pusher.change(target)
        elif target is not None:
            self._pusher = _make_pusher(target)
            self._pusher.start()
        elif pusher is not None:
            self._pusher = None
            background.start("otlp-stop", lambda: pusher.stop(_STOP_SECONDS))

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


def _place(config: Config) -> tuple[str, int, Access]:
    """What a server listens with: of the rest it can serve something else from now on."""
    return config.prometheus.address, config.prometheus.port, _access(config)


def _access(config: Config) -> Access:
    file = config.prometheus.web_config_file
    return Access(None if file is None else Path(file), config.prometheus.max_connections)


def _target(config: Config, cache: SnapshotCache) -> "Target":
    from otel_emqx_monitor.readers.exporter import make_exporter
    from otel_emqx_monitor.readers.otlp import Target, resource_of, schedule_of

    settings = config.otlp or OtlpConfig()
    resource = resource_of(config.emqx.alias)
    return Target(cache, make_exporter(settings), resource, schedule_of(settings))


def _make_pusher(target: "Target") -> "OtlpReader":
    from otel_emqx_monitor.readers.otlp import OtlpReader

    return OtlpReader(target)
