"""Where the agent listens: both families of addresses, and ports that are taken."""

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.brokers import faulty_broker
from tests.faults.inprocess import invoke, running
from tests.processes import run, scrape, settings, write_config


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of loopback on which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_port_in_use_is_one_line_and_exit_code_1(taken: int, tmp_path: Path) -> None:
    config = settings("http://127.0.0.1:9/", prometheus={"port": taken})
    ended = run("prometheus", "--cfg", write_config(tmp_path, config))
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(
        f"otel-emqx-monitor: cannot listen on 127.0.0.1 port {taken}: Address already in use;"
    )


@pytest.mark.parametrize("command", ["demo", "simulate"])
def test_demo_and_simulate_say_the_same_of_a_port_in_use(command: str, taken: int) -> None:
    ended = invoke(command, "--port", str(taken))
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("otel-emqx-monitor: cannot listen on 127.0.0.1")
    assert "Address already in use" in ended.stderr


def test_an_address_of_another_machine_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    config = settings("http://127.0.0.1:9/", prometheus={"address": "192.0.2.1"})
    ended = invoke("prometheus", "--cfg", write_config(tmp_path, config))
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("otel-emqx-monitor: cannot listen on 192.0.2.1 port 0: ")


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@needs_ipv6
def test_all_addresses_are_those_of_both_families() -> None:
    with (
        faulty_broker() as broker,
        running(settings(broker.url, prometheus={"address": "::"})) as url,
    ):
        port = urlsplit(url).port
        assert url == f"http://[::]:{port}/"
        for host in ("[::1]", "127.0.0.1"):
            exposition = scrape(f"http://{host}:{port}/")
            assert exposition.by("up", "broker") == {"emqx": 1}


@needs_ipv6
def test_loopback_of_ipv6_is_not_that_of_ipv4() -> None:
    with (
        faulty_broker() as broker,
        running(settings(broker.url, prometheus={"address": "::1"})) as url,
    ):
        assert scrape(url).by("up", "broker") == {"emqx": 1}
        port = urlsplit(url).port
        assert url == f"http://[::1]:{port}/"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port or 0)).close()
