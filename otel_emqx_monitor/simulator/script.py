"""Lives that a test writes down: who connects, sends, receives and leaves, and when.

A ``Script`` is a source of clients for the broker, and it knows the truth. Steps may be written in
any order and happen in that of their times when the clock has got there: whoever asks for the table
or for events makes it happen. The table follows EMQX's rules as ``lives`` has them: counters show
at every refresh, a session that ends takes its row along, a kept one stays until it expires.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from heapq import heappop, heappush
from itertools import count
from threading import RLock

from otel_emqx_monitor.simulator.emission import Connection, Emission, Login, Message
from otel_emqx_monitor.simulator.fleet import REFRESH_SECONDS, StaticFleet, Table
from otel_emqx_monitor.simulator.scripted_session import Session
from otel_emqx_monitor.simulator.truth import Truth

#: Drops of deliveries that EMQX counts in the row, by the reason its events give.
_COUNTED_DROPS = frozenset({"queue_full", "expired", "too_large"})


class ScriptError(Exception):
    """The script has a client do what it cannot do then; the text says who and when."""


class Follower:
    """Gets every event of a script from when it began to follow."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        self._advance = advance
        self.waiting: deque[Emission] = deque()

    def take(self, now: float) -> list[Emission]:
        """Let the script happen until ``now`` and return the events since the last call."""
        self._advance(now)
        # Another thread may let more happen meanwhile: that is for the next call.
        return [self.waiting.popleft() for _ in range(len(self.waiting))]


class Script:
    """Scripted clients of one node; a ``ClientSource``, safe for several threads.

    Args:
        node: the node's name, as events tell it.
        refresh_seconds: how often counters show, the broker's ``mqtt.idle_timeout``.

    Times (``at``) are seconds since the epoch, exact to the millisecond. What a client cannot do at
    its time raises ``ScriptError`` in whoever makes it happen.
    """

    def __init__(
        self, node: str = "emqx@127.0.0.1", refresh_seconds: float = REFRESH_SECONDS
    ) -> None:
        self.node = node
        self.refresh_seconds = refresh_seconds
        self._lock = RLock()
        self._steps: list[tuple[int, int, Callable[[int], None]]] = []
        self._numbers = count()
        self._now_ms = 0
        self._end_ms = 0
        self._sessions: dict[str, Session] = {}
        self._names: dict[str, str] = {}
        self._truth: dict[str, Truth] = {}
        self._followers: list[Follower] = []

    # What happens, and when.

    def connect(self, at: float, login: Login | str) -> None:
        """Let a client connect; a text is the client id of one with the usual settings.

        If it is connected already, that connection ends: taken over, or discarded with a clean
        start. A session that it left behind goes on unless it starts clean.
        """
        who = Login(client_id=login) if isinstance(login, str) else login
        self._at(at, lambda ms: self._connect(ms, who))

    def disconnect(
        self, at: float, client_id: str, reason: str = "normal", *, told: bool = True
    ) -> None:
        """Let a client's connection end; the reason ``kicked`` ends its session too.

        Without ``told`` it is a process that dies hard: its session ends, and no event tells.
        """
        self._at(at, lambda ms: self._disconnect(ms, client_id, reason, told=told))

    def publish(
        self, at: float, client_id: str, topic: str, *, qos: int = 0, payload: str = "x"
    ) -> Message:
        """Let a client publish; return the message, to be delivered, acknowledged or dropped."""
        message_id = f"{next(self._numbers):032X}"
        message = Message(message_id, client_id, topic, qos, payload, _ms(at))
        self._at(at, lambda ms: self._publish(ms, message))
        return message

    def deliver(
        self, at: float, client_id: str, message: Message, *, qos: int | None = None
    ) -> Message:
        """Let a message go out to a client, with its own QoS or a lower one; return it as sent."""
        sent = message if qos is None else message._replace(qos=min(qos, message.qos))
        self._at(at, lambda ms: self._deliver(ms, client_id, sent))
        return sent

    def ack(self, at: float, client_id: str, message: Message) -> None:
        """Let a client acknowledge a message that was delivered to it with QoS 1 or 2."""
        self._at(at, lambda ms: self._ack(ms, client_id, message))

    def drop_message(self, at: float, message: Message, reason: str = "no_subscribers") -> None:
        """Let a published message go to nobody."""
        self._at(at, lambda ms: self._drop_message(ms, message, reason))

    def drop_delivery(
        self, at: float, client_id: str, message: Message, reason: str = "queue_full"
    ) -> None:
        """Let a message for a client be dropped; it may be away, with its session kept."""
        self._at(at, lambda ms: self._drop_delivery(ms, client_id, message, reason))

    def short_session(  # noqa: PLR0913 - each by its name
        self,
        at: float,
        client_id: str,
        *,
        seconds: float = 0.05,
        messages: int = 3,
        topic: str = "up/a",
        qos: int = 1,
        reason: str = "normal",
    ) -> None:
        """Let a client connect, publish ``messages`` one after the other, and leave."""
        self.connect(at, client_id)
        for number in range(messages):
            self.publish(at + seconds * (number + 1) / (messages + 1), client_id, topic, qos=qos)
        self.disconnect(at + seconds, client_id, reason)

    # What can be seen of it.

    def advance(self, now: float) -> None:
        """Let happen what is written until ``now``, seconds since the epoch."""
        with self._lock:
            until = _ms(now)
            while self._steps and self._steps[0][0] <= until:
                ms, _, step = heappop(self._steps)
                if ms < self._now_ms:
                    raise ScriptError(f"a step at {ms} ms was written when {self._now_ms} was over")
                self._now_ms = ms
                step(ms)
            self._now_ms = max(self._now_ms, until)

    def follow(self) -> Follower:
        """Return what gets all events that happen from now on."""
        with self._lock:
            follower = Follower(self.advance)
            self._followers.append(follower)
            return follower

    @property
    def end(self) -> float:
        """When the last step of all happens, in seconds since the epoch; 0 when there is none."""
        return self._end_ms / 1000

    def truth(self) -> Mapping[str, Truth]:
        """Return what has happened to each client until now."""
        with self._lock:
            return dict(self._truth)

    def total(self) -> Truth:
        """Return what has happened to all clients together."""
        total = Truth()
        for one in self.truth().values():
            total.add(one)
        return total

    def table(self, now: float) -> Table:
        """Return EMQX's table at ``now``, seconds since the epoch."""
        with self._lock:
            self.advance(now)
            rows = [session.row(self._now_ms) for session in self._present()]
        return StaticFleet(rows).table(now)

    def _present(self) -> Iterator[Session]:
        for session in self._sessions.values():
            if not session.expired(self._now_ms):
                yield session

    # The steps.

    def _at(self, at: float, step: Callable[[int], None]) -> None:
        with self._lock:
            heappush(self._steps, (_ms(at), next(self._numbers), step))
            self._end_ms = max(self._end_ms, _ms(at))

    def _tell(self, emission: Emission) -> None:
        for follower in self._followers:
            follower.waiting.append(emission)

    def _truth_of(self, client_id: str) -> Truth:
        return self._truth.setdefault(client_id, Truth())

    def _connect(self, ms: int, login: Login) -> None:
        id_ = login.client_id
        old = self._sessions.get(id_)
        if old is not None and old.connection.connected_ms >= ms:
            raise ScriptError(f"{id_} connects twice in the same millisecond, {ms}")
        if old is not None and old.connected:
            self._disconnect(ms, id_, "discarded" if login.clean_start else "takenover", told=True)
        port = 32_768 + next(self._numbers) % 28_000
        connection = Connection(login, self.node, port, ms)
        goes_on = old is not None and not login.clean_start and not old.expired(ms)
        refresh_ms = _ms(self.refresh_seconds)
        session = Session(connection, old if goes_on else None, refresh_ms)
        self._sessions[id_] = session
        self._names[id_] = login.name
        self._truth_of(id_).connections += 1
        self._tell(connection.connected())

    def _disconnect(self, ms: int, client_id: str, reason: str, *, told: bool) -> None:
        session = self._connected(ms, client_id)
        session.disconnect(ms)
        if reason in ("kicked", "discarded") or not told or session.expired(ms):
            del self._sessions[client_id]
        truth = self._truth_of(client_id)
        truth.disconnections[reason] += 1
        if told:
            self._tell(session.connection.disconnected(ms, reason))
        else:
            truth.untold += 1

    def _publish(self, ms: int, message: Message) -> None:
        session = self._connected(ms, message.client_id)
        session.receive(ms, message)
        self._truth_of(message.client_id).received[message.qos] += 1
        self._tell(session.connection.published(message))

    def _deliver(self, ms: int, client_id: str, message: Message) -> None:
        session = self._connected(ms, client_id)
        session.send(ms, message)
        self._truth_of(client_id).sent[message.qos] += 1
        self._tell(session.connection.delivered(ms, message, self._sender(message)))

    def _ack(self, ms: int, client_id: str, message: Message) -> None:
        if message.qos == 0:
            raise ScriptError(f"{client_id} acknowledges a message of QoS 0 at {ms} ms")
        session = self._connected(ms, client_id)
        session.acknowledge(ms, message)
        self._truth_of(client_id).acked += 1
        self._tell(session.connection.acked(ms, message, self._sender(message)))

    def _drop_message(self, ms: int, message: Message, reason: str) -> None:
        session = self._known(ms, message.client_id)
        if reason == "await_pubrel_timeout":
            session.count(ms, "recv_msg.dropped", "recv_msg.dropped.await_pubrel_timeout")
        self._truth_of(message.client_id).messages_dropped[reason] += 1
        self._tell(session.connection.message_dropped(ms, message, reason))

    def _drop_delivery(self, ms: int, client_id: str, message: Message, reason: str) -> None:
        session = self._known(ms, client_id)
        if reason in _COUNTED_DROPS:
            session.count(ms, "send_msg.dropped", f"send_msg.dropped.{reason}")
        if reason == "queue_full":
            session.mqueue_dropped += 1
        self._truth_of(client_id).deliveries_dropped[reason] += 1
        sender = self._sender(message)
        self._tell(session.connection.delivery_dropped(ms, message, sender, reason))

    def _sender(self, message: Message) -> str:
        return self._names.get(message.client_id, "undefined")

    def _known(self, ms: int, client_id: str) -> Session:
        session = self._sessions.get(client_id)
        if session is None or session.expired(ms):
            raise ScriptError(f"{client_id} has no session at {ms} ms")
        return session

    def _connected(self, ms: int, client_id: str) -> Session:
        session = self._known(ms, client_id)
        if not session.connected:
            raise ScriptError(f"{client_id} is not connected at {ms} ms")
        return session


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
