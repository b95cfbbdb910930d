"""Listening sockets for the agent and for the simulator."""

import os
import socket

_BACKLOG = 1024


class ListenError(Exception):
    """The address cannot be listened on; the message says why and what to do."""

    exit_code = 1


def listen(address: str, port: int) -> list[socket.socket]:
    """Return listening TCP sockets, one for each address that ``address`` stands for.

    Args:
        address: IPv4 or IPv6 address, with or without brackets, or host name; ``::`` takes
            connections of both families.
        port: from 1 to 65535, or 0 for any free one.

    Raises:
        ListenError: the address is not this machine's, or the port is taken or not allowed.
    """
    host = address.strip("[]")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return [_bind(family, where, port) for family, _, _, _, where in dict.fromkeys(found)]
    except (OSError, OverflowError, UnicodeError) as error:
        raise ListenError(
            f"cannot listen on {address} port {port}: {_reason(error)}; choose another address or"
            " port, or stop the program that has it"
        ) from error


def _bind(family: int, where: tuple[object, ...], port: int) -> socket.socket:
    # With the protocol told, asyncio sets TCP_NODELAY on the connections; without it the body of
    # an answer waits 40 ms for the acknowledgement of its headers.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, where[0] != "::")
        listening.bind((where[0], port, *where[2:]))  # getaddrinfo takes 65536 for 0
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno or 0)
    return getattr(error, "strerror", None) or str(error)
