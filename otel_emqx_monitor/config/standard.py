"""What OpenTelemetry's standard variables say where the section ``otlp`` says nothing.

They are put in as if the file had them, so that they are checked, refused and shown with everything
else. A variable that is set but empty counts as not set, and the one for metrics wins over the one
for all signals (OpenTelemetry specification, "Environment Variable Specification" and "OTLP
Exporter"). Endpoint, headers and TLS files are left to the exporters, which know more about them.
"""

from collections.abc import Mapping
from typing import Final

from otel_emqx_monitor.config.environment import FromEnvironment

_OTLP: Final = ("OTEL_EXPORTER_OTLP_METRICS_", "OTEL_EXPORTER_OTLP_")

#: What the exporters of both protocols take when nobody says anything, up to its port.
_DEFAULT_ENDPOINT: Final = "http://localhost"


def follow_variables(otlp: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, object]:
    """Return the section ``otlp`` with the variables' values for keys that it leaves out.

    Args:
        otlp: The section; a key that holds nothing or empty text counts as left out.
        environ: The variables and their values.
    """
    found = {
        "protocol": _variable("PROTOCOL", environ),
        "interval_seconds": _seconds(environ.get("OTEL_METRIC_EXPORT_INTERVAL", "")),
        # The specification has milliseconds; the Python exporters, 1.45 included, take seconds.
        "timeout_seconds": _variable("TIMEOUT", environ, ", in seconds"),
        "compression": _variable("COMPRESSION", environ),
    }
    empty = {key for key in found if otlp.get(key) in (None, "")}
    return {**otlp, **{key: value for key, value in found.items() if value and key in empty}}


def default_endpoint(environ: Mapping[str, str]) -> str:
    """Return what an exporter takes without ``otlp.endpoint``; its path and port do not matter."""
    return _variable("ENDPOINT", environ) or _DEFAULT_ENDPOINT


def _variable(ending: str, environ: Mapping[str, str], unit: str = "") -> FromEnvironment | None:
    for name in (f"{beginning}{ending}" for beginning in _OTLP):
        if text := environ.get(name):
            return FromEnvironment(text, f"the environment variable {name}{unit}")
    return None


def _seconds(milliseconds: str) -> FromEnvironment | None:
    source = "the environment variable OTEL_METRIC_EXPORT_INTERVAL, in milliseconds"
    try:
        return FromEnvironment(str(float(milliseconds) / 1000), source)
    except ValueError:  # what is no number is for the check of the key to refuse
        return FromEnvironment(milliseconds, source) if milliseconds else None
