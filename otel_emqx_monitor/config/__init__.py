"""The configuration: a YAML file, checked as a whole and turned into immutable values.

`load` reads a file, puts environment variables and secret files into it, and returns a `Config` or
raises `ConfigError`, whose message names every problem at once.
"""

from otel_emqx_monitor.config.effective import effective_yaml
from otel_emqx_monitor.config.errors import ConfigError, Problem
from otel_emqx_monitor.config.load import default_path, load, load_listening, locate
from otel_emqx_monitor.config.model import (
    Config,
    EmqxConfig,
    EventsConfig,
    ExcludedClient,
    MonitoredClient,
    MqttConfig,
    OtlpConfig,
    PollingConfig,
    PrometheusConfig,
    StateConfig,
    WebhookConfig,
)
from otel_emqx_monitor.config.named import named_files

__all__ = [
    "Config",
    "ConfigError",
    "EmqxConfig",
    "EventsConfig",
    "ExcludedClient",
    "MonitoredClient",
    "MqttConfig",
    "OtlpConfig",
    "PollingConfig",
    "Problem",
    "PrometheusConfig",
    "StateConfig",
    "WebhookConfig",
    "default_path",
    "effective_yaml",
    "load",
    "load_listening",
    "locate",
    "named_files",
]
