"""Asks an agent that runs on this machine whether it is well: the command ``healthcheck``.

It is for whoever can only run a command, such as Docker's ``HEALTHCHECK``: the image has no curl,
and only the configuration knows the port and whether it is TLS. The agent may have refused the file
that is there now and go on with what it had, and must not be restarted for that; so nothing of the
file but where to ask is looked at.
"""

import http.client
import ipaddress
import ssl
from pathlib import Path
from typing import Final

from otel_emqx_monitor.config import ConfigError, PrometheusConfig, load_listening
from otel_emqx_monitor.config.reading import FileRefused
from otel_emqx_monitor.health import HEALTHY, READY
from otel_emqx_monitor.text import printable
from otel_emqx_monitor.web.settings import TlsServerConfig, read_web_config

#: As much of an answer as is shown, in bytes.
_LONGEST: Final = 500

#: Who asks for a certificate is alive, and that is all that can be found out without one.
_WANTS_CERTIFICATE: Final = "it asks for a client certificate, so it could not be asked more"


class Unwell(Exception):
    """The agent is not well, or nobody answers for it; the message says which."""

    exit_code = 1


def ask(path: Path | None, *, ready: bool, timeout: float) -> str:
    """Return what the agent of a configuration answers when it is well.

    Args:
        path: the configuration, as ``load`` takes it. If it does not even say where to ask, the
            agent is asked at the default address.
        ready: ask whether it is of use (``/readyz``), not only whether it works (``/healthz``).
        timeout: how long to wait for the connection and for the answer, each, in seconds.

    Raises:
        Unwell: it is not.
    """
    try:
        where, doubt = load_listening(path), ""
    except ConfigError as error:
        where, doubt = PrometheusConfig(), f"\nthat is the default address: {error}"
    if where.port == 0:
        raise Unwell("prometheus.port is 0, so nobody can know the port; give the agent one")
    try:
        return _ask(where, READY if ready else HEALTHY, timeout)
    except Unwell as unwell:
        raise Unwell(f"{unwell}{doubt}") from None


def _ask(where: PrometheusConfig, endpoint: str, timeout: float) -> str:
    host, tls = _reachable(where.address), _tls(where.web_config_file)
    url = f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{where.port}"
    connection = _connection(host, where.port, timeout, tls)
    wants_certificate = tls is not None and tls.client_certificates == "required"
    try:
        connection.connect()
        if wants_certificate:
            return _WANTS_CERTIFICATE
        connection.request("GET", endpoint)
        answer = connection.getresponse()
        text = printable(answer.read(_LONGEST).decode("utf-8", "replace").strip(), _LONGEST)
    except TimeoutError:
        raise Unwell(f"{url}{endpoint} does not answer within {timeout:g} s") from None
    except ssl.SSLError as error:
        reason = error.reason or type(error).__name__
        # TLS 1.2 asks before it is connected, and then there is an alert or an end.
        if wants_certificate and ("ALERT" in reason or "EOF" in reason):
            return _WANTS_CERTIFICATE
        raise Unwell(f"{url}{endpoint} does not speak TLS as it should ({reason})") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
        raise Unwell(f"no agent answers at {url}{endpoint}: {printable(reason, 200)}") from None
    finally:
        connection.close()
    if answer.status == 200:
        return text
    if answer.status == 503:
        raise Unwell(text)
    raise Unwell(
        f"{url}{endpoint} answers with status {answer.status}; is it another program's port?"
    )


def _reachable(address: str) -> str:
    """Return where what listens at ``address`` is reached from here."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if not found.is_unspecified:
        return address
    return "127.0.0.1" if found.version == 4 else "::1"


def _tls(web_config_file: str | None) -> TlsServerConfig | None:
    """Return the settings of TLS, ``None`` without it."""
    if web_config_file is None:
        return None
    try:
        tls = read_web_config(Path(web_config_file)).tls_server_config
    except FileRefused:  # the agent goes on with what it has read before, most likely with TLS
        return TlsServerConfig()
    return tls if tls.on else None


def _connection(
    host: str, port: int, timeout: float, tls: TlsServerConfig | None
) -> http.client.HTTPConnection:
    if tls is None:
        return http.client.HTTPConnection(host, port, timeout=timeout)
    # The certificate is for those who come from outside; here nobody is in between.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
