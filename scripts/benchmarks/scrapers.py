"""Many scrapers at once, as a process of its own: ``python -m benchmarks.scrapers URL COUNT``.

They take turns in what they ask for: text and OpenMetrics, compressed and not. Every tenth is slow
to read. The first hundred look at all that they get, the others at its length: the machine has to
serve them too. The last line on stdout is JSON: how many got a whole exposition, how many seconds
the last of them took, the number of clients in what they got, and what went wrong with the others.
"""

import asyncio
import json
import re
import sys
import time
import zlib
from dataclasses import dataclass
from urllib.parse import urlsplit

_ACCEPTS = ("text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0")
_CODINGS = ("identity", "gzip")
_SLOW_EVERY = 10

#: What the others read at a time, in bytes; what a slow one does, and how long it rests after that.
_GULP_BYTES, _SIP_BYTES, _REST_SECONDS = 2**20, 2**16, 0.05

_PATIENCE_SECONDS = 120.0

_CAREFUL = 100

_SERIES = b"emqx_client_monitor_connected{"


@dataclass
class _Exposition:
    """Counts clients in what comes, and keeps none of it."""

    compressed: bool
    clients: int = 0
    end: bytes = b""

    def __post_init__(self) -> None:
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16) if self.compressed else None

    def take(self, part: bytes) -> None:
        """Look through the next part of a body."""
        text = part if self._inflate is None else self._inflate.decompress(part)
        seam = self.end[-len(_SERIES) + 1 :] + text[: len(_SERIES) - 1]
        self.clients += text.count(_SERIES) + seam.count(_SERIES)
        self.end = text[-100:] if len(text) >= 100 else (self.end + text)[-100:]

    def whole(self, accept: str) -> bool:
        """Whether nothing is missing."""
        if "openmetrics" in accept and not self.end.endswith(b"# EOF\n"):
            return False
        return self._inflate is None or self._inflate.eof


async def _scrape(url: str, number: int) -> tuple[int, float]:
    """Return how many clients an exposition has, and the seconds until all of it was here."""
    where = urlsplit(url)
    accept, coding = _ACCEPTS[number % 2], _CODINGS[number // 2 % 2]
    began = time.monotonic()
    slow = number % _SLOW_EVERY == 0
    most = _SIP_BYTES if slow else _GULP_BYTES
    reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=most)
    try:
        head = f"GET {where.path} HTTP/1.1\r\nHost: agent\r\nAccept: {accept}\r\n"
        writer.write(f"{head}Accept-Encoding: {coding}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise ValueError(answer.partition(b"\r\n")[0].decode("latin-1"))
        length = re.search(rb"content-length: (\d+)", answer.lower())
        left = int(length[1]) if length else 0
        found = _Exposition(coding == "gzip")
        while left and (part := await reader.read(most)):
            left -= len(part)
            if number < _CAREFUL:
                found.take(part)
            if slow:
                await asyncio.sleep(_REST_SECONDS)
        if left or (number < _CAREFUL and not found.whole(accept)):
            raise ValueError(f"cut short, {left} bytes are missing")
        return found.clients, time.monotonic() - began
    finally:
        writer.close()


async def _all(url: str, count: int) -> dict[str, object]:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        ended = await asyncio.gather(
            *(_scrape(url, number) for number in range(count)), return_exceptions=True
        )
    served = [one for one in ended if isinstance(one, tuple)]
    failures = [repr(one)[:200] for one in ended if isinstance(one, BaseException)]
    return {
        "served": len(served),
        "seconds": max((seconds for _, seconds in served), default=0.0),
        "clients": sorted({clients for clients, _ in served[:_CAREFUL]}),
        "failures": failures[:5],
    }


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(asyncio.run(_all(sys.argv[1], int(sys.argv[2]))))}\n")
