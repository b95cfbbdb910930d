"""The targets by name. One is a module with ``opened(folder)``, which yields what takes an input.

That raises nothing, whatever it gets: every error that this program has a type for is caught in
the module, so what comes out is a finding. So is a traceback in the log: only bugs have one.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import cast

Run = Callable[[bytes], None]

CORPUS = Path(__file__).parent / "corpus"

#: What each target is about, and the longest input in bytes.
TARGETS: Mapping[str, tuple[str, int]] = {
    "rows": ("answers of EMQX, and what is made of them", 4096),
    "events": ("what EMQX posts and publishes, and what is made of it", 4096),
    "config": ("configuration files", 4096),
    "http": ("what comes in at the port of the HTTP server", 4096),
    "state": ("state files, byte by byte", 16_384),
    "memory": ("what a state file keeps of one client", 1024),
}


#: What means something in the inputs of any target.
TOKENS = [
    *(b"\0", b"\xff", b"\n", b"\r\n", b'"', b"\\", b"{", b"[" * 40, b"]", b": ", b"- ", b"null"),
    *(
        b"Content-Length: ",
        b"Transfer-Encoding: chunked",
        b"connected_at",
        b"clientid",
        b"timestamp",
    ),
    *(b"-1", b"9" * 30, b"1e999", b"NaN", b"0001-01-01T00:00:00+14:00", b"\\ud800", b"${env:X}"),
]


@contextmanager
def opened(name: str, folder: Path) -> Iterator[Run]:
    """Yield what takes inputs of a target; ``folder`` is for its files."""
    module = import_module(f"tests.fuzz.{name}")
    target = cast("Callable[[Path], AbstractContextManager[Run]]", module.opened)
    tracebacks = _Tracebacks()
    program = logging.getLogger()
    program.addHandler(tracebacks)
    try:
        with target(folder) as run:

            def checked(data: bytes) -> None:
                tracebacks.found.clear()
                run(data)
                assert not tracebacks.found, tracebacks.found[0]

            yield checked
    finally:
        program.removeHandler(tracebacks)


def seeds(name: str) -> list[Path]:
    """Return the committed inputs of a target."""
    return sorted((CORPUS / name).iterdir())


class _Tracebacks(logging.Handler):
    """Keeps what is logged with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[0] is not None:
            self.found.append(logging.Formatter().format(record))
