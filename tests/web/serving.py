"""A server of metrics with TLS, passwords and limits, and what files it needs."""

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trustme
import yaml
from starlette.routing import Route

from otel_emqx_monitor.cache import Freshness, SnapshotCache
from otel_emqx_monitor.fleet import Watched
from otel_emqx_monitor.health import health_routes
from otel_emqx_monitor.page import LandingPage
from otel_emqx_monitor.readers.prometheus import PrometheusReader
from otel_emqx_monitor.server import Access, MetricsServer
from tests.fleets import assess, connected, nothing_known, poll
from tests.page.pages import config

#: The hashes of "secret" and "other", as cheap as bcrypt allows.
SECRET_HASH = "$2b$04$L16d3G0Et.XuOOHfvbjKfeeq6H8i9GEoR6ylwH.V.9PUFkwxRgVX2"
OTHER_HASH = "$2y$04$zO2wHBJiJivTaEnZcqm1eejabMcpK2u.IVzacSNWGiYhnfsWKr0OK"


@contextmanager
def serving(access: Access, clients: int = 1, *others: Route) -> Iterator[MetricsServer]:
    """Serve so many clients, and ``others``, for the length of the block."""
    watched = [Watched(f"Alias {number}", f"client-{number}") for number in range(clients)]
    polled = poll(*(connected(one.client_id, recv_msg=7, send_msg=1) for one in watched))
    cache = SnapshotCache(
        "broker",
        lambda: polled,
        lambda answered: assess(answered, watched),
        nothing_known(watched),
        Freshness(ttl=15, stale_after=60),
        flags=frozenset({"enable_processed_counters"}),
    )
    reader = PrometheusReader(cache)
    page = LandingPage(cache, reader, config())
    routes = [page.route, *health_routes(cache, list), *others]
    server = MetricsServer(cache, reader, "127.0.0.1", 0, routes=routes, access=access)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def port_of(server: MetricsServer) -> int:
    """Return where it listens."""
    port = urlsplit(server.url).port
    assert port is not None
    return port


def connect(server: MetricsServer) -> socket.socket:
    """Return a connection to it, on which no wait is for ever."""
    return socket.create_connection(("127.0.0.1", port_of(server)), timeout=20)


def until_closed(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes, however it does."""
    received = bytearray()
    try:
        while part := connection.recv(2**16):
            received += part
    except (ConnectionError, ssl.SSLError):
        pass
    return bytes(received)


class Files:
    """Certificates, and a web configuration file that names them, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(self.ca_file)

    def certify(self, *names: str, stem: str = "server") -> trustme.LeafCert:
        """Write ``STEM.crt`` and ``STEM.key`` for ``names``."""
        leaf = self.ca.issue_cert(*names)
        leaf.cert_chain_pems[0].write_to_path(self.folder / f"{stem}.crt")
        leaf.private_key_pem.write_to_path(self.folder / f"{stem}.key")
        return leaf

    def write(self, settings: Mapping[str, Any] | str) -> Path:
        """Write the web configuration file, and return its path."""
        path = self.folder / "web.yml"
        path.write_text(settings if isinstance(settings, str) else yaml.safe_dump(dict(settings)))
        return path

    @property
    def pair(self) -> tuple[str, str]:
        """What ``requests`` takes as ``cert`` for a client that has one."""
        return str(self.folder / "client.crt"), str(self.folder / "client.key")


def tls(**others: Any) -> dict[str, Any]:
    """Return a section of TLS with the files of ``Files.certify``."""
    return {"cert_file": "server.crt", "key_file": "server.key", **others}


VERIFYING = {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "ca.pem"}
