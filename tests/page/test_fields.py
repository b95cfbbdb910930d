from datetime import UTC, datetime

from otel_emqx_monitor.config import PrometheusConfig
from otel_emqx_monitor.emqx.rows import Row
from otel_emqx_monitor.epochs import begin
from otel_emqx_monitor.fleet import Counted, State
from otel_emqx_monitor.instruments import fields_for
from otel_emqx_monitor.page.fields import _TABLE, fields
from tests.page.pages import client

AT = datetime(2026, 11, 22, tzinfo=UTC)


def test_the_columns_are_those_of_the_metrics_that_are_on() -> None:
    usual = [one.title for one in fields(PrometheusConfig().flags, None)]
    assert usual == [
        "Received",
        "Sent",
        "Bytes received",
        "Bytes sent",
        "Packets received",
        "Packets sent",
        "In flight",
        "Subs",
    ]
    assert [one.key for one in fields(frozenset({"enable_connection_counters"}), None)] == [
        "connections"
    ]
    assert fields(frozenset(), None) == ()


def test_emqx_is_asked_for_all_that_the_columns_show() -> None:
    for _, flag, _, field, _ in _TABLE:
        assert field in fields_for(frozenset({flag}))


def test_live_numbers_are_those_of_the_present_row() -> None:
    [received, sent] = fields(frozenset({"enable_processed_counters"}), None)
    here = client("a", row=Row(clientid="a", recv_msg=7))
    assert (received.read(here), sent.read(here)) == (7, None)
    gone = client("a", State.ABSENT, row=Row(clientid="a", recv_msg=7))
    assert received.read(gone) is None


def test_cumulative_numbers_are_the_sums_and_stay_for_clients_that_are_gone() -> None:
    counted = Counted(("recv_msg", "send_msg"), ("mqueue_dropped",))
    flags = frozenset({"enable_processed_counters", "enable_queue_metrics"})
    by_key = {one.key: one for one in fields(flags, counted)}
    gone = client(
        "a",
        State.ABSENT,
        connection=begin(AT, (100, 20), 1.0),
        session=begin(AT, (3,), 1.0),
    )
    read = {key: field.read(gone) for key, field in by_key.items()}
    assert read == {"received": 100, "sent": 20, "queue": None, "queue-dropped": 3}


def test_connections_are_counted_in_either_mode() -> None:
    [connections] = fields(frozenset({"enable_connection_counters"}), None)
    assert connections.read(client("a", connection=begin(AT, (), 1.0))) == 1
    assert connections.read(client("a")) == 0
