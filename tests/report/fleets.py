"""The clients of the report's tests: those of the original's example, and a mixed fleet."""

from datetime import UTC, datetime, timedelta, timezone

from otel_emqx_monitor.emqx.rows import Row
from otel_emqx_monitor.fleet import Client, Fleet, Memory, State, Watched

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def client(alias: str, client_id: str, state: State, row: Row | None = None) -> Client:
    memory = Memory(since=NOW.timestamp() - 600, row=row)
    return Client(Watched(alias, client_id), state, memory)


def expected(alias: str, *, seen: datetime | None, every: float) -> Client:
    """Return an absent client that is expected ``every`` so many seconds."""
    memory = Memory(NOW.timestamp() - 600, last_seen=None if seen is None else seen.timestamp())
    return Client(Watched(alias, alias, expected_every=every), State.ABSENT, memory)


def fleet(*clients: Client) -> Fleet:
    return Fleet(clients=clients, polled_at=NOW.timestamp())


def connected(
    alias: str,
    *,
    created: timedelta,
    connected: timedelta,
    keepalive: int,
    subscriptions: int = 0,
    rx: int = 0,
    tx: int = 0,
) -> Client:
    row = Row(
        clientid=f"id-of-{alias}",
        connected=True,
        created_at=NOW - created,
        connected_at=NOW - connected,
        keepalive=keepalive,
        subscriptions_cnt=subscriptions,
        inflight_cnt=0,
        recv_msg=rx,
        recv_msg_dropped=0,
        send_msg=tx,
        send_msg_dropped=0,
    )
    return client(alias, row.clientid, State.CONNECTED, row)


def known_by(client_id: str, alias: str | None = None) -> Client:
    return client(alias or client_id, client_id, State.CONNECTED, Row(clientid=client_id))


EXAMPLE = fleet(
    connected("ZAMEL", created=timedelta(7), connected=timedelta(7), keepalive=32, rx=6007727),
    connected(
        "RTL433_Room2",
        created=timedelta(days=30),
        connected=timedelta(days=18),
        keepalive=60,
        rx=5184897,
    ),
    connected(
        "RTL433_Room1",
        created=timedelta(days=40),
        connected=timedelta(hours=23, minutes=59),
        keepalive=60,
        rx=702456,
    ),
    connected(
        "QingpingIoTMQTT_Client",
        created=timedelta(minutes=39, seconds=50),
        connected=timedelta(minutes=39, seconds=49),
        keepalive=60,
        subscriptions=8,
        tx=126,
    ),
    connected(
        "QingpingCO2_Room3",
        created=timedelta(days=13),
        connected=timedelta(days=13),
        keepalive=120,
        subscriptions=1,
        rx=38455,
        tx=69,
    ),
    connected(
        "QingpingCO2_Room2",
        created=timedelta(minutes=4),
        connected=timedelta(minutes=4),
        keepalive=120,
        subscriptions=1,
        rx=2,
    ),
    connected(
        "QingpingCO2_Room1",
        created=timedelta(seconds=1),
        connected=timedelta(seconds=1),
        keepalive=120,
    ),
    connected(
        "HumidifierWaterRefTerm",
        created=timedelta(hours=16),
        connected=timedelta(hours=16),
        keepalive=10,
        subscriptions=4,
        rx=24279,
        tx=16,
    ),
)

#: One client in each state; the connected one drops messages, the disconnected one's row has holes.
MIXED = fleet(
    client("porch", "esp-3", State.ABSENT),
    client("attic", "esp-4", State.UNKNOWN),
    client(
        "lamp",
        "esp-1",
        State.CONNECTED,
        Row(
            clientid="esp-1",
            username="house",
            connected=True,
            created_at=datetime(2026, 2, 1, 1, tzinfo=timezone(timedelta(hours=1))),
            connected_at=datetime(2026, 3, 1, 11, 58, 30, 123000, tzinfo=UTC),
            keepalive=0,
            subscriptions_cnt=2,
            inflight_cnt=1,
            recv_msg=10,
            recv_msg_dropped=0,
            recv_pkt=25,
            recv_oct=1234,
            send_msg=7,
            send_msg_dropped=3,
            send_pkt=12,
            send_oct=567,
        ),
    ),
    client(
        "door",
        "esp-2",
        State.DISCONNECTED,
        Row(
            clientid="esp-2",
            username="",
            connected=False,
            created_at=datetime(2026, 2, 28, 12, tzinfo=UTC),
            connected_at=datetime(2026, 2, 28, 13, tzinfo=UTC),
            keepalive=90,
            subscriptions_cnt=1,
            inflight_cnt=0,
            recv_msg=5,
            recv_msg_dropped=1,
            recv_pkt=9,
            send_msg=0,
            send_msg_dropped=0,
            send_pkt=4,
        ),
    ),
)
