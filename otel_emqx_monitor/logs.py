"""Log lines: one event, one line, as text or as JSON."""

import json
import logging
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from otel_emqx_monitor.text import printable

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

#: How many lines ``held_back`` keeps.
_KEPT_LINES = 100


def configure(output: str, level: str, stream: TextIO | None = None) -> None:
    """Send all log records of ``level`` and above to ``stream`` (standard error by default).

    Args:
        output: ``text`` or ``json``.
        level: one of ``LEVELS``.
        stream: where lines go.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Json() if output == "json" else _Text())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for chatty in ("urllib3", "asyncio", "uvicorn"):
        # What goes wrong is told by us; urllib3 would quote what strangers sent.
        logging.getLogger(chatty).setLevel(max(logging.ERROR, logging.getLogger().level))


@contextmanager
def held_back() -> Iterator[None]:
    """Keep what is logged until the end of the block, the latest lines of it."""
    root, keeper = logging.getLogger(), _Keeper()
    before, root.handlers = root.handlers, [keeper]
    try:
        yield
    finally:
        root.handlers = before
        for record in keeper.kept:
            root.handle(record)


class _Keeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.kept: deque[logging.LogRecord] = deque(maxlen=_KEPT_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record, and forget the oldest one when there are too many."""
        self.kept.append(record)


def _when(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return time, level and message; what a stranger could have put into it is escaped."""
        line = f"{_when(record)} {record.levelname:<7} {printable(record.getMessage())}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return one JSON object with ``time``, ``level``, ``logger`` and ``message``."""
        event = {
            "time": _when(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event)
