"""Checks and normalises addresses: EMQX's API, the Collector and the socket to listen on.

All functions raise ``ValueError`` with a message that says what would be right and that never
holds the value itself: a URL may carry a password.
"""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

# IPv6 in brackets, or anything else; then a port of any value, which is checked as a number.
_NETLOC = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]+)(:(?P<port>[0-9]{1,9}))?")
_LABEL = re.compile(
    r"\w([\w-]{0,61}\w)?"
)  # Docker and Kubernetes users have names with underscores
_API_ENDING = re.compile(r"(/api(/v5)?)?/*$")
_OTHER_API = re.compile(r"/api/v\d+(/|$)")
_METRICS_PATH = "/v1/metrics"


def normalised_api_url(text: str) -> str:
    """Return ``<scheme>://host[:port][/prefix]/api/v5`` for any usual way to write EMQX's URL.

    EMQX 5 and 6 serve their REST API under ``/api/v5``. ``text`` may end with that, with ``/api``
    (as the original wants it) or before it, with or without slashes at the end.
    """
    parts = _split(text)
    if parts.scheme not in ("http", "https") or "://" not in text:
        raise ValueError("must begin with http:// or https://, as in http://emqx:18083/api/")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or password: use emqx.api_key and emqx.api_secret")
    _check_ends_with_path(text)
    base = _API_ENDING.sub("", parts.path)
    if _OTHER_API.search(base + "/"):
        raise ValueError("must end with /api/v5 or before it, as in http://emqx:18083/api/")
    return f"{parts.scheme}://{_host_and_port(parts.netloc)}{base}/api/v5"


def normalised_base_url(text: str) -> str:
    """Return ``<scheme>://host[:port][/prefix]``, without slashes at the end, for the agent."""
    parts = _split(text)
    if parts.scheme not in ("http", "https") or "://" not in text:
        raise ValueError("must begin with http:// or https://, as in http://agent:9671")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or password: the token is what the agent asks for")
    if "$" in text:
        raise ValueError("must not contain $: EMQX would look for a variable there")
    _check_ends_with_path(text)
    return f"{parts.scheme}://{_host_and_port(parts.netloc)}{parts.path.rstrip('/')}"


def normalised_endpoint(text: str) -> str:
    """Return ``[<scheme>://]host[:port][/path]``, without slashes at the end, for a Collector."""
    parts = _split(text if "://" in text else f"//{text}")
    if parts.scheme not in ("http", "https", ""):
        raise ValueError("must begin with http:// or https://, as in http://collector:4317")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or password: use otlp.headers")
    _check_ends_with_path(text)
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    return f"{scheme}{_host_and_port(parts.netloc)}{parts.path.rstrip('/')}"


def endpoint_for(protocol: str, endpoint: str) -> str:
    """Return a normalised ``endpoint`` as the exporter for ``protocol`` takes it.

    OTLP 1.x, "OTLP/HTTP Request": metrics are posted to ``/v1/metrics`` below a base URL. gRPC
    knows hosts and ports only, and would take port 443 without a word when there is none.
    """
    parts = _split(endpoint if "://" in endpoint else f"//{endpoint}")
    if protocol == "http/protobuf":
        if not parts.scheme:
            raise ValueError(
                "must begin with http:// or https:// for http/protobuf, as in http://collector:4318"
            )
        return endpoint if parts.path.endswith(_METRICS_PATH) else endpoint + _METRICS_PATH
    if parts.path:
        raise ValueError(
            "must not have a path for grpc, as in http://collector:4317; "
            "for a URL with a path set otlp.protocol to http/protobuf"
        )
    if parts.port is None and parts.scheme != "https":
        raise ValueError("must have a port for grpc, as in http://collector:4317")
    return endpoint


def _split(text: str) -> SplitResult:
    if any(char.isspace() or not char.isprintable() or char in '\\<>"' for char in text):
        raise ValueError("must not contain spaces, control characters, quotes or backslashes")
    try:
        return urlsplit(text)
    except ValueError:
        raise ValueError("must have a valid host: a name, an IPv4 or a bracketed IPv6") from None


def _check_ends_with_path(text: str) -> None:
    if "?" in text or "#" in text:
        raise ValueError("must not have a query or fragment (the part from '?' or '#' on)")


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
