"""Answers of EMQX: each line of an input is the body of one poll, the lines are polls in a row."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from otel_emqx_monitor.emqx.answers import Answer
from otel_emqx_monitor.emqx.decoding import decoded
from otel_emqx_monitor.emqx.errors import EmqxError
from otel_emqx_monitor.emqx.rows import Row, decode_page, decode_row
from tests.fuzz.chain import NOW, Chain
from tests.fuzz.target import Run

#: So many polls of one input are read.
_POLLS = 4


def rows_of(body: bytes) -> list[Row] | None:
    answer = Answer(200, "application/json", body, "/clients")
    try:
        return decoded(answer, decode_page).data
    except EmqxError:
        pass
    try:
        return [decoded(answer, decode_row)]
    except EmqxError:
        return None


@contextmanager
def opened(folder: Path) -> Iterator[Run]:
    with Chain(folder) as chain:

        def run(data: bytes) -> None:
            tracker = chain.tracker()
            for number, body in enumerate(data.split(b"\n")[:_POLLS]):
                found = rows_of(body)
                if found is not None:
                    chain.apply(tracker, found, NOW + 15 * number)

        yield run
