"""The subscriber with brokers that are played byte by byte; see ``tests/real`` for a real one."""

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from otel_emqx_monitor.events import mqtt_session
from otel_emqx_monitor.events.mqtt import Subscriber, pause_after
from otel_emqx_monitor.events.mqtt_session import MqttSettings
from tests.peers import unused_port
from tests.processes import wait_until

Handler = Callable[["Connection"], None]

CONNECT, SUBSCRIBE, PINGREQ, DISCONNECT = 1, 8, 12, 14

#: MQTT 5.0, section 3.2; the last byte is the length of the properties.
LET_IN_5 = b"\x20\x03\x00\x00\x00"
LET_IN_311 = b"\x20\x02\x00\x00"


class Connection:
    """What a broker has of one client."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.version = 0

    def read(self) -> tuple[int, bytes]:
        """Return type and content of the next packet; ``EOFError`` when there is none."""
        first = self._exactly(1)[0]
        length = shift = 0
        while (byte := self._exactly(1)[0]) & 0x80:
            length |= (byte & 0x7F) << shift
            shift += 7
        length |= byte << shift
        content = self._exactly(length)
        if first >> 4 == CONNECT:
            self.version = content[6]
        return first >> 4, content

    def send(self, packet: bytes) -> None:
        self._sock.sendall(packet)

    def let_in(self) -> None:
        """Take CONNECT and SUBSCRIBE and grant both."""
        assert self.read()[0] == CONNECT
        self.send(LET_IN_5 if self.version == 5 else LET_IN_311)
        kind, content = self.read()
        assert kind == SUBSCRIBE
        properties = b"\x00" if self.version == 5 else b""
        packet = content[:2] + properties + b"\x00"
        self.send(bytes([0x90, len(packet)]) + packet)

    def wait_for_end(self) -> None:
        with suppress(EOFError):
            while self.read()[0] != DISCONNECT:
                pass

    def _exactly(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            part = self._sock.recv(count - len(got))
            if not part:
                raise EOFError
            got += part
        return got


class Broker:
    """Gives each connection to the next handler, the last one for ever."""

    def __init__(self, handlers: list[Handler]) -> None:
        self._handlers = handlers
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.versions: list[int] = []
        self.ended = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for sock in self._open:
            sock.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                self._open.append(sock)
                handler = self._handlers.pop(0) if len(self._handlers) > 1 else self._handlers[0]
                threading.Thread(target=self._serve, args=[sock, handler], daemon=True).start()

    def _serve(self, sock: socket.socket, handler: Handler) -> None:
        connection = Connection(sock)
        with suppress(OSError, EOFError):
            handler(connection)
        self.versions.append(connection.version)
        self.ended += 1
        sock.close()


@contextmanager
def playing(*handlers: Handler) -> Iterator[Broker]:
    broker = Broker(list(handlers))
    try:
        yield broker
    finally:
        broker.close()


@contextmanager
def subscribing(
    port: int,
    take: Callable[[bytes, str], object] = lambda _payload, _topic: None,
    **more: object,
) -> Iterator[Subscriber]:
    settings = MqttSettings("127.0.0.1", port, "monitor", **more)  # type: ignore[arg-type] # a test's
    subscriber = Subscriber(settings, take, pause=lambda _failures: 0.02)
    subscriber.start()
    try:
        yield subscriber
    finally:
        subscriber.stop(10)


@pytest.fixture(autouse=True)
def log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(mqtt_session, "_STEP", 0.02)  # so that each test ends quickly
    caplog.set_level(logging.INFO, "otel_emqx_monitor")
    return caplog


def stay(connection: Connection) -> None:
    connection.let_in()
    connection.wait_for_end()


def refusing(answer: bytes) -> Handler:
    def handler(connection: Connection) -> None:
        connection.read()
        connection.send(answer)
        connection.wait_for_end()

    return handler


def saying(packet: bytes) -> Handler:
    """Let the client in and send this then."""

    def handler(connection: Connection) -> None:
        connection.let_in()
        connection.send(packet)
        connection.wait_for_end()

    return handler


def test_it_says_goodbye_when_it_is_stopped() -> None:
    goodbyes: list[int] = []

    def handler(connection: Connection) -> None:
        connection.let_in()
        goodbyes.append(connection.read()[0])

    with playing(handler) as broker:
        with subscribing(broker.port) as subscriber:
            wait_until(lambda: subscriber.up)
        assert not subscriber.up
        wait_until(lambda: goodbyes == [DISCONNECT])


def test_it_is_up_only_when_the_subscription_is_granted() -> None:
    may_grant = threading.Event()
    asked = threading.Event()

    def handler(connection: Connection) -> None:
        connection.read()
        connection.send(LET_IN_5)
        _, content = connection.read()
        asked.set()
        assert may_grant.wait(20)
        connection.send(bytes([0x90, 4]) + content[:2] + b"\x00\x00")
        connection.wait_for_end()

    with playing(handler) as broker, subscribing(broker.port) as subscriber:
        assert asked.wait(20)
        assert not subscriber.up
        may_grant.set()
        wait_until(lambda: subscriber.up)


@pytest.mark.parametrize("refusal", [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00"], ids=["3", "5"])
def test_a_broker_without_mqtt_5_is_asked_by_3_1_1(
    refusal: bytes, log: pytest.LogCaptureFixture
) -> None:
    with playing(refusing(refusal), stay) as broker:
        with subscribing(broker.port) as subscriber:
            wait_until(lambda: subscriber.up)
        wait_until(lambda: broker.ended == 2)
        assert broker.versions == [5, 4]
    assert [record.levelname for record in log.records] == ["INFO"]


def test_a_broker_that_speaks_neither_is_said_once(log: pytest.LogCaptureFixture) -> None:
    with (
        playing(refusing(b"\x20\x02\x00\x01")) as broker,
        subscribing(broker.port) as subscriber,
    ):
        wait_until(lambda: subscriber.failures > 2)
        assert set(broker.versions) == {4, 5}
    [message] = log.messages
    assert "ended the connection before it granted the subscription" in message


@pytest.mark.parametrize(
    "answer, words",
    [
        (
            b"\x20\x03\x00\x86\x00",
            "Bad user name or password; check events.mqtt.username and events.mqtt.password;",
        ),
        (
            b"\x20\x03\x00\x87\x00",
            "Not authorized; check events.mqtt.username and events.mqtt.password;",
        ),
        (b"\x20\x03\x00\x85\x00", "Client identifier not valid; check events.mqtt.client_id;"),
        (b"\x20\x03\x00\x88\x00", "Server unavailable;"),
        (b"\x20\x03\x00\x89\x00", "Server busy;"),
        (b"\x20\x03\x00\x8a\x00", "Banned;"),
    ],
)
def test_a_refusal_is_said_once_and_in_words(
    answer: bytes, words: str, log: pytest.LogCaptureFixture
) -> None:
    with (
        playing(refusing(answer)) as broker,
        subscribing(broker.port, username="sue", password="secret-77a") as subscriber,
    ):
        wait_until(lambda: subscriber.failures > 2)
        assert not subscriber.up
    [message] = log.messages
    assert message == (
        f"the MQTT broker at 127.0.0.1 port {broker.port} refused the connection: {words} trying"
        " again until it works"
    )


def test_a_subscription_refused_by_3_1_1_names_the_user(log: pytest.LogCaptureFixture) -> None:
    def handler(connection: Connection) -> None:
        connection.read()
        connection.send(LET_IN_311)
        _, content = connection.read()
        connection.send(bytes([0x90, 3]) + content[:2] + b"\x80")
        connection.wait_for_end()

    with (
        playing(refusing(b"\x20\x02\x00\x01"), handler) as broker,
        subscribing(broker.port, username="sue") as subscriber,
    ):
        wait_until(lambda: subscriber.failures > 2)
        assert not subscriber.up
    [message] = log.messages
    assert (
        "refused the subscription of $SYS/brokers/+/clients/#: Unspecified error; its ACL has to"
        " allow that to user sue (EMQX's default acl.conf" in message
    )


def test_who_takes_over_is_looked_for(log: pytest.LogCaptureFixture) -> None:
    with playing(saying(b"\xe0\x02\x8e\x00"), stay) as broker:
        with subscribing(broker.port) as subscriber:
            wait_until(lambda: subscriber.failures == 1 and subscriber.up)
        where = f"the MQTT broker at 127.0.0.1 port {broker.port}"
    assert log.messages[1] == (
        f"{where} ended the connection: Session taken over; if another program uses the client id"
        " monitor, give each its own (events.mqtt.client_id); trying again until it works"
    )


@pytest.mark.parametrize(
    "packet",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00" * 100,
        b"\xff" * 100,
        b"\x30\x01\x00",  # PUBLISH without a topic
        b"\x30\x04\x00\x09ab",  # a topic longer than its packet
        b"\x30\x05\x00\x01a\x09\x26",  # properties cut short
        b"\x90\x01\x00",
        b"\xe0\x05\x8e\x03\x1f\x00\x09",
    ],
)
def test_a_peer_that_talks_nonsense_ends_the_session_but_not_the_program(
    packet: bytes, log: pytest.LogCaptureFixture
) -> None:
    def handler(connection: Connection) -> None:
        connection.let_in()
        connection.send(packet)

    with playing(handler, stay) as broker, subscribing(broker.port) as subscriber:
        wait_until(lambda: subscriber.failures == 1 and subscriber.up)
    assert [record.levelname for record in log.records] == ["INFO", "ERROR", "INFO"]
    assert not any(record.exc_info for record in log.records)


def test_a_topic_that_is_not_utf_8_is_handed_on_as_none() -> None:
    taken: list[tuple[bytes, str]] = []
    packets = b"\x30\x04\x00\x01\xff\x00" + b"\x30\x0b\x00\x06$SYS/x\x00ok"
    with (
        playing(saying(packets)) as broker,
        subscribing(broker.port, lambda *message: taken.append(message)),
    ):
        wait_until(lambda: len(taken) == 2)
    assert taken == [(b"", ""), (b"ok", "x")]


def test_a_broker_that_never_answers_is_given_up(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mqtt_session, "_ANSWER_SECONDS", 0.05)
    with playing(Connection.wait_for_end) as broker, subscribing(broker.port) as subscriber:
        wait_until(lambda: subscriber.failures > 1)
    [message] = log.messages
    assert "did not answer within 0.05 s; check that the port is one for MQTT" in message


@pytest.mark.parametrize("host", ["host.invalid", "a" * 300, "a..b", "\u202eevil\n"])
def test_a_host_that_is_none_is_said(host: str, log: pytest.LogCaptureFixture) -> None:
    subscriber = Subscriber(MqttSettings(host, 1883, "monitor"), print, lambda _failures: 0.02)
    subscriber.start()
    wait_until(lambda: subscriber.failures > 1)
    subscriber.stop(20)
    [message] = log.messages
    assert message.startswith("cannot connect to the MQTT broker at ")
    assert message.isprintable()


def test_stopping_does_not_wait_for_the_next_try() -> None:
    subscriber = Subscriber(
        MqttSettings("127.0.0.1", unused_port(), "monitor"), print, lambda _failures: 3600
    )
    subscriber.start()
    wait_until(lambda: subscriber.failures)
    subscriber.stop(20)
    assert "mqtt" not in [thread.name for thread in threading.enumerate()]


def test_a_bug_of_ours_does_not_end_the_thread(log: pytest.LogCaptureFixture) -> None:
    def take(_payload: bytes, _topic: str) -> None:
        raise KeyError("bug")

    message = b"\x30\x0b\x00\x06$SYS/x\x00ok"
    with playing(saying(message), stay) as broker, subscribing(broker.port, take) as subscriber:
        wait_until(lambda: subscriber.failures == 1 and subscriber.up)
    assert "KeyError" in log.messages[1]


def test_the_payload_comes_as_it_is_with_the_topic_below_the_prefix() -> None:
    taken: list[tuple[bytes, str]] = []
    topic = "a/$SYS/brokers/n/clients/x/connected"
    body = json.dumps({"clientid": "x"}).encode()
    content = len(topic).to_bytes(2, "big") + topic.encode() + b"\x00" + body
    with (
        playing(saying(bytes([0x30, len(content)]) + content)) as broker,
        subscribing(broker.port, lambda *one: taken.append(one), topic_prefix="a/$SYS"),
    ):
        wait_until(lambda: taken)
    assert taken == [(body, "brokers/n/clients/x/connected")]


@pytest.mark.parametrize("failures, longest", [(1, 1), (2, 2), (4, 8), (7, 60), (10_000, 60)])
def test_pauses_grow_and_are_spread(failures: int, longest: float) -> None:
    pauses = {pause_after(failures) for _ in range(50)}
    assert all(longest / 2 <= pause <= longest for pause in pauses)
    assert len(pauses) > 10
