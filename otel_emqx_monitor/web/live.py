"""The web configuration file as it is now: read again when it, or a file that it names, changes.

The toolkit reads the file for every request and the certificates for every connection. Here both
ask whether the files are still the same, which costs a few ``stat`` calls: certificates that are
renewed, and passwords that are changed, need no restart. To let in more people than before
does: what looks like that may be a file that somebody is writing.
"""

import logging
import ssl
from pathlib import Path
from typing import Any, Final

from otel_emqx_monitor.config.reading import FileRefused, Identity, identity
from otel_emqx_monitor.text import printable
from otel_emqx_monitor.web.settings import WebConfig, read_web_config
from otel_emqx_monitor.web.tls import make_context

log = logging.getLogger(__name__)

_DEMANDS: Final = {"none": 0, "optional": 1, "required": 2}

_Signature = tuple[Identity, ...]


class LiveWebConfig:
    """A web configuration file that is in use; for one thread.

    When a change cannot be used the former settings stay, and the log says so once.

    Args:
        path: the file.

    Raises:
        FileRefused: it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._config = WebConfig()
        self._files: tuple[Path, ...] = (path,)  # also those that a refused one names
        self._seen: _Signature = ()
        self._context: ssl.SSLContext | None = None
        self._failing = False
        self._read()

    @property
    def tls(self) -> bool:
        """Whether connections are TLS, as it was at the start."""
        return self._context is not None

    def current(self) -> WebConfig:
        """Return the settings for a request that has come now."""
        if self._signature() != self._seen:
            self._read_again()
        return self._config

    def context(self) -> ssl.SSLContext:
        """Return the context for a connection that has come now."""
        self.current()
        assert self._context is not None  # noqa: S101 (asked for with TLS alone)
        return self._context

    def _signature(self) -> _Signature:
        return tuple(map(identity, self._files))

    def _read(self) -> None:
        # Of before the files are read: a change meanwhile shows next time.
        own = identity(self._path)
        config = read_web_config(self._path)
        tls = config.tls_server_config
        self._files = (self._path, *tls.files)
        self._seen = (own, *map(identity, tls.files))
        context = make_context(tls) if tls.on else None
        self._config, self._context = config, context

    def _read_again(self) -> None:
        had_tls = self.tls
        before = self._config, self._context
        self._seen = self._signature()  # what fails is tried again when something changes again
        try:
            self._read()
            turned = "it turns TLS on or off, which needs a restart"
            risk = turned if self.tls != had_tls else _weakens(before[0], self._config)
            if risk is not None:
                raise FileRefused(risk)
        except FileRefused as refused:
            self._config, self._context = before
            if not self._failing:
                log.error(
                    "cannot use the changed prometheus.web_config_file %s or a file that it names:"
                    " %s; the former settings and certificates stay in use",
                    printable(str(self._path), 200),
                    refused,
                )
            self._failing = True
        else:
            log.info("read %s and its certificates again", printable(str(self._path), 200))
            self._failing = False


def _weakens(before: WebConfig, after: WebConfig) -> str | None:
    """Return what anybody may do after a change who might not before; ``None`` for nothing.

    A file that is written in place is empty for a moment, and then half: that must open no door.
    """
    if before.basic_auth_users and not after.basic_auth_users:
        return "it takes away all passwords, which needs a restart"
    old, new = before.tls_server_config, after.tls_server_config
    if _DEMANDS[new.client_certificates] < _DEMANDS[old.client_certificates]:
        return "it asks no longer for certificates of clients, which needs a restart"
    if old.client_allowed_sans is not None and new.client_allowed_sans is None:
        return "it takes away client_allowed_sans, which needs a restart"
    return None


class LiveContext(ssl.SSLContext):
    """Stands for the context of each connection's moment, whole: certificate, CA and versions."""

    live: LiveWebConfig

    @classmethod
    def of(cls, live: LiveWebConfig) -> "LiveContext":
        """Make it of the file."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context.live = live
        return context

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Begin a connection; asyncio calls this for each."""
        return self.live.context().wrap_bio(*args, **kwargs)
