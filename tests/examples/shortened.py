"""The shipped configurations of Prometheus and Alertmanager, made fast and pointed at a test."""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.examples.rules import EXAMPLES, RULE_FILES

#: What an hour of waiting becomes.
AT_ONCE = "1s"


def write_rules(folder: Path) -> Path:
    """Write the shipped rules with every ``for`` and ``interval`` made a second; returns where."""
    target = folder / "rules"
    target.mkdir()
    for file in RULE_FILES:
        text = file.read_text(encoding="utf-8")
        text = re.sub(r"^( +(?:for|interval): )\w+$", rf"\g<1>{AT_ONCE}", text, flags=re.MULTILINE)
        (target / file.name).write_text(text, encoding="utf-8")
    return target


def prometheus_config(rules: Path, alertmanager: str, agent: str, collector: str) -> dict[str, Any]:
    """Return both shipped configurations in one: it scrapes an agent, and a Collector.

    Args:
        rules: the folder of rule files.
        alertmanager: ``host:port``, as are
        agent: and
        collector: these.
    """
    scraped, pushed = read("prometheus.yml"), read("prometheus-otlp.yml")
    jobs = {job["job_name"]: job for job in scraped["scrape_configs"] + pushed["scrape_configs"]}
    config: dict[str, Any] = scraped
    config["global"] = dict.fromkeys(scraped["global"], AT_ONCE)
    config["rule_files"] = [f"{rules}/*.yaml"]
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [alertmanager]
    for job, address in {"otel-emqx-monitor": agent, "otel-collector": collector}.items():
        jobs[job]["static_configs"][0]["targets"] = [address]
    config["scrape_configs"] = [jobs["otel-emqx-monitor"], jobs["otel-collector"]]
    return config


def alertmanager_config(receiver: str) -> dict[str, Any]:
    """Return the shipped configuration, which notifies at once, and by webhooks of ``receiver``."""
    config = read("alertmanager.yml")
    config["route"] |= {"group_wait": "0s", "group_interval": AT_ONCE}
    for one in config["receivers"]:
        one["webhook_configs"] = [{"url": f"{receiver}/{one['name']}"}]
    return config


def read(name: str) -> dict[str, Any]:
    """Return a shipped configuration."""
    content: dict[str, Any] = yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))
    return content
