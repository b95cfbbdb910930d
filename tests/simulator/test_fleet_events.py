"""What the devices of a fleet tell: the same lives as their rows."""

from collections import Counter, defaultdict
from datetime import datetime

from otel_emqx_monitor.simulator import Broker, Cluster, ProceduralFleet
from otel_emqx_monitor.simulator.cluster import node_names
from otel_emqx_monitor.simulator.fleet_events import FleetEvents, posting
from tests.simulator.scripts import START, configure, receiver

CLIENTS = 60
HOUR = 3600


def ms(text: object) -> int:
    return round(datetime.fromisoformat(str(text)).timestamp() * 1000)


def test_events_tell_who_is_connected_as_the_rows_do() -> None:
    fleet = ProceduralFleet(CLIENTS, 3, START)
    names = node_names(3)
    shares = fleet.on_nodes(3)
    events = FleetEvents(fleet, names, START)
    latest: dict[object, tuple[bool, object, object]] = {}
    for minute in range(1, 61):
        now = START + 60 * minute
        for event in events.take(now):
            columns = event.columns
            if str(columns["event"]).startswith("client."):
                connected = columns["event"] == "client.connected"
                told = (connected, columns["connected_at"], columns["node"])
                latest[columns["clientid"]] = told
        shown = {}
        for name, share in zip(names, shares, strict=True):
            table = share.table(now)
            keys = table.keys()
            for key in keys:
                row = table.row(key, None)
                shown[row["clientid"]] = (row["connected"], ms(row["connected_at"]), name)
        for client_id, told in latest.items():
            if told[0]:
                assert shown[client_id] == told
            else:
                assert client_id not in shown or shown[client_id][0] is False
    assert len(latest) > 10


def test_messages_told_are_those_that_counters_show() -> None:
    fleet = ProceduralFleet(CLIENTS, 3, START)
    events = FleetEvents(fleet, node_names(1), START)
    told: dict[tuple[object, object], Counter[object]] = defaultdict(Counter)
    began: dict[object, object] = {}
    for second in range(1, HOUR // 3 + 1):
        for event in events.take(START + second):
            client_id = event.columns["clientid"]
            if event.columns["event"] == "client.connected":
                began[client_id] = event.columns["connected_at"]
            elif event.columns["event"] == "message.publish" and client_id in began:
                told[client_id, began[client_id]][event.columns["qos"]] += 1
    table = fleet.table(START + HOUR // 3)
    compared = 0
    keys = table.keys()
    for key in keys:
        row = table.row(key, None)
        counted = told.get((row["clientid"], ms(row["connected_at"])))
        if counted is not None:
            # A row is up to 15 s behind, the events are not.
            fields = ("recv_msg.qos0", "recv_msg.qos1", "recv_msg.qos2")
            for qos, field in enumerate(fields):
                assert int(str(row[field])) <= counted[qos]
            compared += 1
    assert compared > 3


def test_skipped_time_is_not_told() -> None:
    fleet = ProceduralFleet(CLIENTS, 3, START)
    events = FleetEvents(fleet, node_names(1), START)
    events.skip(START + 100)
    assert all(event.at_ms >= (START + 100) * 1000 for event in events.take(START + 200))


def test_events_are_posted_in_real_time_once_a_rule_wants_them() -> None:
    fleet = ProceduralFleet(CLIENTS, 3, START)
    cluster = Cluster(dict(zip(node_names(1), fleet.on_nodes(1), strict=True)))
    broker = Broker(source=cluster)
    with receiver() as agent:
        with posting(fleet, cluster.names, broker.integration):
            configure(broker, agent.url)
            assert agent.some.wait(20)
        assert {event["event"] for event in agent.events} <= {
            "message.publish",
            "client.connected",
            "client.disconnected",
        }
