"""A real Prometheus and a real Collector, which serve one fault after the other.

All agents of the lab listen on one port, one after the other, and each is a broker of its own to
its readers: so Prometheus needs no other configuration, and is ready when a fault begins.
"""

import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import requests
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from otel_emqx_monitor.metric import PREFIX
from tests.collector.collector import (
    CONFIGS,
    OTLP_GRPC,
    PROMETHEUS,
    CollectorProcess,
    running_collector,
)
from tests.real.prometheus import Prometheus, prometheus, scraping

_CONFIG = CONFIGS / "agent-to-prometheus.yaml"

#: Prometheus looks for its targets as often as this instead of every 5 s.
_AT_ONCE = "--scrape.discovery-reload-interval=100ms"


class Readers:
    """Both readers, as long as the block of ``readers`` lasts.

    ``port`` is where the agent has to listen, ``endpoint`` where it has to push to.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._folder = folder
        self._prometheus: AbstractContextManager[Prometheus] | None = None
        self._collector: AbstractContextManager[CollectorProcess] | None = None
        self._listen: Mapping[str, str] = {"METRIC_EXPIRATION": "2s"}
        self.start_prometheus()
        self.start_collector()

    @property
    def endpoint(self) -> str:
        """Where the Collector takes OTLP by gRPC."""
        return f"http://{self._listen[OTLP_GRPC]}"

    def start_prometheus(self) -> None:
        """Start Prometheus, with all that it has stored before."""
        often = {"scrape_interval": "300ms", "scrape_timeout": "300ms"}
        config = scraping({"lab": f"127.0.0.1:{self.port}"}, **often)
        self._prometheus = prometheus(config, self._folder, _AT_ONCE)
        self.prometheus = self._prometheus.__enter__()

    def stop_prometheus(self) -> None:
        """Stop Prometheus; it keeps what it has stored."""
        if self._prometheus is not None:
            self._prometheus.__exit__(None, None, None)
            self._prometheus = None

    def start_collector(self, config: Path | str = _CONFIG) -> None:
        """Start a Collector where the last one listened."""
        self._config = config
        self._collector = running_collector(config, self._listen)
        self.collector = self._collector.__enter__()
        self._listen = {**self._listen, **self.collector.listen}

    def stop_collector(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the Collector, with all that it knows."""
        if self._collector is not None:
            self.collector.stop(number)
            self._collector.__exit__(None, None, None)
            self._collector = None

    def mend(self) -> None:
        """Start what does not run, or not as it should, as after a fault whose test has failed."""
        if self._prometheus is None:
            self.start_prometheus()
        if self._collector is not None and self._config is not _CONFIG:
            self.stop_collector()
        if self._collector is None:
            self.start_collector()

    def stop(self) -> None:
        """End both."""
        self.stop_prometheus()
        self.stop_collector()

    def collected(self) -> list[Sample]:
        """Return all that the Collector shows now; nothing when it does not answer."""
        try:
            answer = requests.get(self.collector.url(PROMETHEUS) + "metrics", timeout=1)
        except requests.RequestException:
            return []
        families = text_string_to_metric_families(answer.text)
        return [sample for family in families for sample in family.samples]

    def scraped(self, broker: str) -> list[list[Sample]]:
        """Return what Prometheus has scraped of a broker's clients: each scrape, in order."""
        matrix = self.prometheus.ask(
            "query", query=f'{{__name__=~"{PREFIX}.*",broker="{broker}",client_id!=""}}[15m]'
        )
        scrapes: dict[float, list[Sample]] = {}
        for series in matrix["result"]:
            labels = dict(series["metric"])
            name = labels.pop("__name__")
            for at, value in series["values"]:
                scrapes.setdefault(at, []).append(Sample(name, labels, float(value)))
        return [samples for _, samples in sorted(scrapes.items())]


@contextmanager
def readers(folder: Path) -> Iterator[Readers]:
    """Run both readers; without a Collector the test is skipped, or fails with REQUIRE_REAL=1."""
    with ExitStack() as kept:
        port = kept.enter_context(socket.socket())  # bound, not listening: nobody else gets it
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port.bind(("127.0.0.1", 0))
        both = Readers(folder, port.getsockname()[1])
        kept.callback(both.stop)
        yield both
