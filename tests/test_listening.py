import socket

import pytest

from otel_emqx_monitor.listening import ListenError, listen


def test_a_taken_port_is_one_clear_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError) as caught:
            listen("127.0.0.1", port)
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1 port {port}: Address already in use; choose another"
        " address or port, or stop the program that has it"
    )


def test_a_host_name_that_is_unknown_is_one_clear_message() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on no-such\.invalid port 0: "):
        listen("no-such.invalid", 0)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_the_unspecified_ipv6_address_takes_both_families() -> None:
    [listening] = listen("::", 0)
    with listening:
        port = listening.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=5).close()


@pytest.mark.parametrize("address, port", [("127.0.0.1", 99_999), ("192.0.2.1", 0)])
def test_an_impossible_address_is_refused_alike(address: str, port: int) -> None:
    with pytest.raises(ListenError, match=f"cannot listen on {address} port {port}: "):
        listen(address, port)


def test_answers_are_not_held_back_for_acknowledgements() -> None:
    [listening] = listen("127.0.0.1", 0)
    with listening:
        assert listening.proto == socket.IPPROTO_TCP, "asyncio sets TCP_NODELAY on no other"
