"""State files: whatever is in one, the agent starts, and what it remembers can be used."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from otel_emqx_monitor.state import Store
from otel_emqx_monitor.statefile import Restored
from tests.fleets import connected
from tests.fuzz.chain import COUNTED, NOW, Chain
from tests.fuzz.target import Run


def use(chain: Chain, restored: Restored) -> None:
    """Do with what was remembered what the agent does in its first polls."""
    tracker = chain.tracker(restored)
    chain.show(tracker.initial)
    chain.apply(tracker, [connected("a", recv_msg=7)], NOW)
    chain.apply(tracker, [], NOW + 15)


@contextmanager
def opened(folder: Path) -> Iterator[Run]:
    with Chain(folder) as chain:
        file = folder / "state.db"

        def run(data: bytes) -> None:
            for left in folder.glob("state.db*"):
                left.unlink()
            file.write_bytes(data)
            store = Store(file, COUNTED, patience=0)
            try:
                restored = store.open()
            finally:
                store.close()
            use(chain, restored)

        yield run
