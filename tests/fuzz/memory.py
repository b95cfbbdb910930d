"""What a state file keeps of one client, in a file that is whole: MessagePack of any kind."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from otel_emqx_monitor.statefile import Unusable, connect, write
from tests.fuzz.chain import COUNTED, NOW, Chain
from tests.fuzz.state import use
from tests.fuzz.target import Run


@contextmanager
def opened(folder: Path) -> Iterator[Run]:
    file = folder / "memory.db"
    with Chain(folder) as chain, closing(connect(file, COUNTED)[0]) as db:
        write(db, [], [], NOW - 60, COUNTED)

        def run(data: bytes) -> None:
            with db:
                db.execute("DELETE FROM clients")
                db.execute("INSERT INTO clients VALUES ('a', ?), ('b', ?)", (data, data))
            try:
                again, restored = connect(file, COUNTED)
            except (Unusable, sqlite3.DatabaseError):
                return
            again.close()
            use(chain, restored)

        yield run
