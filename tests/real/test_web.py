"""A real Prometheus with a password or a certificate, and one without."""

import json
from pathlib import Path
from typing import Any

import pytest

from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from tests.real.agents import config_on, running
from tests.real.prometheus import prometheus
from tests.web.serving import SECRET_HASH, VERIFYING, Files, tls

ROWS = [{"clientid": "a", "connected": True, "recv_pkt": 1, "send_pkt": 1}]


@pytest.mark.real("prometheus")
def test_prometheus_scrapes_with_its_password_or_certificate_alone(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.certify("127.0.0.1")
    files.certify("prometheus.example", stem="client")
    with_password = tmp_path / "password.yml"
    files.write({"tls_server_config": tls(), "basic_auth_users": {"prom": SECRET_HASH}}).rename(
        with_password
    )
    with_certificate = files.write(
        {"tls_server_config": tls(**VERIFYING, client_allowed_sans=["prometheus.example"])}
    )

    def job(name: str, url: str, **settings: Any) -> dict[str, Any]:
        verifying = {"ca_file": str(files.ca_file), **settings.pop("tls_config", {})}
        return {
            "job_name": name,
            "scheme": "https",
            "static_configs": [{"targets": [url.removeprefix("https://").rstrip("/")]}],
            "tls_config": verifying,
            **settings,
        }

    certificate, key = files.pair
    with (
        Simulator(Broker(source=StaticFleet(ROWS))) as simulator,
        running(config_on(simulator, ["a"], {"web_config_file": str(with_password)})) as first,
        running(config_on(simulator, ["a"], {"web_config_file": str(with_certificate)})) as second,
    ):
        jobs = [
            job("password", first.url, basic_auth={"username": "prom", "password": "secret"}),
            job("wrong password", first.url, basic_auth={"username": "prom", "password": "no"}),
            job("no password", first.url),
            job(
                "certificate",
                second.url,
                tls_config={"cert_file": certificate, "key_file": key},
            ),
            job("no certificate", second.url),
        ]
        interval = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        config = json.dumps({"global": interval, "scrape_configs": jobs})
        with prometheus(config, tmp_path) as server:
            server.wait_for("up", lambda samples: len(samples) == len(jobs))
            for name in ("password", "certificate"):
                server.wait_for_value(f'emqx_client_monitor_connected{{job="{name}"}}', 1)
            up = {labels["job"]: value for labels, value in server.query("max_over_time(up[1m])")}
    assert up == {
        "password": 1,
        "wrong password": 0,
        "no password": 0,
        "certificate": 1,
        "no certificate": 0,
    }
