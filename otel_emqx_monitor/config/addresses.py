"""Checks and normalises the two addresses of a configuration: EMQX's API and the listening socket.

All functions raise ``ValueError`` with a message that says what would be right and that never
holds the value itself: a URL may carry a password.
"""

import ipaddress
import re
from urllib.parse import urlsplit

# IPv6 in brackets, or anything else; then a port of any value, which is checked as a number.
_NETLOC = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]+)(:(?P<port>[0-9]{1,9}))?")
_LABEL = re.compile(
    r"\w([\w-]{0,61}\w)?"
)  # Docker and Kubernetes users have names with underscores
_API_ENDING = re.compile(r"(/api(/v5)?)?/*$")
_OTHER_API = re.compile(r"/api/v\d+(/|$)")


def normalised_api_url(text: str) -> str:
    """Return ``<scheme>://host[:port][/prefix]/api/v5`` for any usual way to write EMQX's URL.

    EMQX 5 and 6 serve their REST API under ``/api/v5``. ``text`` may end with that, with ``/api``
    (as the original wants it) or before it, with or without slashes at the end.
    """
    if any(char.isspace() or not char.isprintable() or char in '\\<>"' for char in text):
        raise ValueError("must not contain spaces, control characters, quotes or backslashes")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("must have a valid host: a name, an IPv4 or a bracketed IPv6") from None
    if parts.scheme not in ("http", "https") or "://" not in text:
        raise ValueError("must begin with http:// or https://, as in http://emqx:18083/api/")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or password: use emqx.api_key and emqx.api_secret")
    if "?" in text or "#" in text:
        raise ValueError("must not have a query or fragment (the part from '?' or '#' on)")
    base = _API_ENDING.sub("", parts.path)
    if _OTHER_API.search(base + "/"):
        raise ValueError("must end with /api/v5 or before it, as in http://emqx:18083/api/")
    return f"{parts.scheme}://{_host_and_port(parts.netloc)}{base}/api/v5"


def _host_and_port(netloc: str) -> str:
    found = _NETLOC.fullmatch(netloc)
    if not found:
        raise ValueError("must have a valid host, then at most a port from 1 to 65535")
    try:
        host = checked_host(found["host"].lower())
    except ValueError:
        raise ValueError("must have a valid host: a name, an IPv4 or a bracketed IPv6") from None
    host = f"[{host}]" if ":" in host else host
    if found["port"] is None:
        return host
    port = int(found["port"])
    if not 1 <= port <= 65_535:
        raise ValueError("must have a port from 1 to 65535, or none")
    return f"{host}:{port}"


def checked_host(text: str) -> str:
    """Return an IPv4 address, an IPv6 address without its brackets, or a host name."""
    bracketed = text.startswith("[") and text.endswith("]")
    bare = text[1:-1] if bracketed else text
    if bracketed or ":" in bare:
        valid = _is_ip(bare, ipaddress.IPv6Address)
    elif bare.rpartition(".")[2].isdigit():
        valid = _is_ip(bare, ipaddress.IPv4Address)
    else:
        valid = _is_host_name(bare)
    if not valid or not bare.isprintable() or " " in bare:  # the zone of an IPv6 address is free
        raise ValueError("must be an IPv4 or IPv6 address or a host name, without a port")
    return bare


def _is_ip(text: str, kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def _is_host_name(text: str) -> bool:
    labels = text.removesuffix(".").split(".")
    if len(text) > 253 or not all(map(_LABEL.fullmatch, labels)):
        return False
    try:
        text.encode("idna")
    except UnicodeError:
        return False
    return True
