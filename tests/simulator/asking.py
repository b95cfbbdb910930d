"""Asking a broker without a socket."""

from base64 import b64encode
from typing import Any

import msgspec

from otel_emqx_monitor.simulator import Answer, Broker
from otel_emqx_monitor.simulator.broker import Request

BASIC = "Basic " + b64encode(b"simulated-key:simulated-secret").decode()


def ask(broker: Broker, target: str, **request: Any) -> Answer:
    path, _, query = target.partition("?")
    asked = Request("GET", path.encode(), query.encode(), BASIC)
    return broker.answer(asked._replace(**request))


def body(broker: Broker, target: str, **request: Any) -> Any:
    return msgspec.json.decode(ask(broker, target, **request).body)


def ids(broker: Broker, query: str = "") -> list[str]:
    return [row["clientid"] for row in body(broker, f"/api/v5/clients?{query}")["data"]]
