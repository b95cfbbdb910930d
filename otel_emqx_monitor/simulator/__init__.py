"""A stand-in for EMQX: a real HTTP server that answers as the REST API of a live broker does."""

from otel_emqx_monitor.simulator.answers import Answer
from otel_emqx_monitor.simulator.broker import DEFAULT_KEY, DEFAULT_SECRET, Broker
from otel_emqx_monitor.simulator.cluster import Cluster
from otel_emqx_monitor.simulator.fleet import ClientSource, ProceduralFleet, StaticFleet
from otel_emqx_monitor.simulator.server import Simulator

__all__ = [
    "DEFAULT_KEY",
    "DEFAULT_SECRET",
    "Answer",
    "Broker",
    "ClientSource",
    "Cluster",
    "ProceduralFleet",
    "Simulator",
    "StaticFleet",
]
