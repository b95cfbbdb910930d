"""A stand-in for EMQX: a real HTTP server that answers as the REST API of a live broker does.

::

    devices.py, lives.py   a device, and what EMQX's table says of it at any moment
    fleet.py               the clients that each node holds: made up, or a test's own rows
    cluster.py             the nodes, what befalls them, who reaches whom
    query.py, routes.py    what a request asks for
    broker.py, answers.py  what the API of one node answers
    control.py             the endpoint that freezes, kills, splits and heals
    server.py, command.py  the socket, and ``otel-emqx-monitor simulate``
    integration.py         connectors, actions and rules, and what they make of an event
    script.py, truth.py    clients whose lives a test writes down, and what really happened
    emission.py            the events and ``$SYS`` messages of such lives
    disorder.py            what befalls them on their way
    emitters.py            posts and publishes them
"""

from otel_emqx_monitor.simulator.answers import Answer
from otel_emqx_monitor.simulator.broker import DEFAULT_KEY, DEFAULT_SECRET, Broker
from otel_emqx_monitor.simulator.cluster import Cluster
from otel_emqx_monitor.simulator.disorder import Disorder
from otel_emqx_monitor.simulator.emission import Login
from otel_emqx_monitor.simulator.emitters import SysTopics, Webhook
from otel_emqx_monitor.simulator.fleet import ClientSource, ProceduralFleet, StaticFleet
from otel_emqx_monitor.simulator.integration import Integration
from otel_emqx_monitor.simulator.script import Script, ScriptError
from otel_emqx_monitor.simulator.server import Simulator
from otel_emqx_monitor.simulator.truth import Truth

__all__ = [
    "DEFAULT_KEY",
    "DEFAULT_SECRET",
    "Answer",
    "Broker",
    "ClientSource",
    "Cluster",
    "Disorder",
    "Integration",
    "Login",
    "ProceduralFleet",
    "Script",
    "ScriptError",
    "Simulator",
    "StaticFleet",
    "SysTopics",
    "Truth",
    "Webhook",
]
