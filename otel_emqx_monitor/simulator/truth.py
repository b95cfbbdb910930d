"""What really happened to scripted clients, whatever polls and events made of it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Truth:
    """What really happened to one client, or to all.

    ``received`` are messages from the client, ``sent`` those to it, both by QoS; ``acked`` are the
    sent ones that it acknowledged. ``untold`` are ends of connections that no event told.
    """

    connections: int = 0
    disconnections: Counter[str] = field(default_factory=Counter)
    received: Counter[int] = field(default_factory=Counter)
    sent: Counter[int] = field(default_factory=Counter)
    acked: int = 0
    messages_dropped: Counter[str] = field(default_factory=Counter)
    deliveries_dropped: Counter[str] = field(default_factory=Counter)
    untold: int = 0

    def add(self, other: Self) -> None:
        """Count what happened to another client too."""
        self.connections += other.connections
        self.disconnections += other.disconnections
        self.received += other.received
        self.sent += other.sent
        self.acked += other.acked
        self.messages_dropped += other.messages_dropped
        self.deliveries_dropped += other.deliveries_dropped
        self.untold += other.untold
