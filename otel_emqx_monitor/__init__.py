"""Watches the MQTT clients of an EMQX broker and exports them as OpenTelemetry metrics.

The public API, for applications that put the instruments on a ``Meter`` of their own::

    from otel_emqx_monitor import open_source, register

    register(meter, open_source("config.yaml"))
"""

from typing import TYPE_CHECKING, Any

from otel_emqx_monitor.version import __version__

if TYPE_CHECKING:
    from otel_emqx_monitor.agent import open_source
    from otel_emqx_monitor.instruments import register
    from otel_emqx_monitor.snapshot import Source

__all__ = ["Source", "__version__", "open_source", "register"]

_HOMES = {
    "Source": "otel_emqx_monitor.snapshot",
    "open_source": "otel_emqx_monitor.agent",
    "register": "otel_emqx_monitor.instruments",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are used: ``--version`` should not load an SDK."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
