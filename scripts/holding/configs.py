"""The configurations of those who take part: defaults, but for addresses and intervals."""

from typing import Any

from otel_emqx_monitor.simulator import DEFAULT_KEY, DEFAULT_SECRET, ProceduralFleet

#: Data points in one request, the agent's default; the last request of a push has fewer.
MAX_POINTS = 5_000


def agent_config(clients: int, ttl: float, api_url: str, collector: str) -> dict[str, Any]:
    """Return the agent's configuration: the defaults, but for addresses and intervals."""
    emqx = {"api_url": api_url, "api_key": DEFAULT_KEY, "api_secret": DEFAULT_SECRET}
    ids = ProceduralFleet(clients, seed=1, started_at=0).client_ids
    return {
        "emqx": {**emqx, "alias": "simulated"},
        "monitored_clients": [
            {"alias": f"Device {number}", "client_id": one} for number, one in enumerate(ids, 1)
        ],
        "prometheus": {"address": "127.0.0.1", "port": 0, "ttl_seconds": ttl},
        "otlp": {
            "protocol": "grpc",
            "endpoint": f"http://{collector}",
            "interval_seconds": ttl,
            "max_points_per_request": MAX_POINTS,
        },
    }


def collector_config(otlp: str, own_metrics: str) -> dict[str, Any]:
    """Return a pipeline that takes everything, by its default limits, and keeps nothing."""
    host, port = own_metrics.rsplit(":", 1)
    pull = {"exporter": {"prometheus": {"host": host, "port": int(port)}}}
    return {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": otlp}}}},
        "exporters": {"debug": {"verbosity": "basic"}},
        "service": {
            "pipelines": {"metrics": {"receivers": ["otlp"], "exporters": ["debug"]}},
            "telemetry": {
                "logs": {"sampling": {"enabled": False}},
                "metrics": {"readers": [{"pull": pull}]},
            },
        },
    }


def prometheus_config(agent: str, ttl: float) -> dict[str, Any]:
    """Return a configuration that scrapes the agent, and has the whole interval for it."""
    every = f"{ttl * 1000:.0f}ms"
    job = {"job_name": "agent", "static_configs": [{"targets": [agent]}]}
    return {"global": {"scrape_interval": every, "scrape_timeout": every}, "scrape_configs": [job]}
