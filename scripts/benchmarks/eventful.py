"""The case of an agent that takes events: 2,000 a second on one core, while it polls and serves."""

import json
import os
import re
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import SplitResult, urlsplit
from urllib.request import urlopen

from benchmarks.measuring import Job, Measured, main, rss_bytes
from benchmarks.processes import PROGRAM, end_of, find, simulator
from otel_emqx_monitor.simulator import DEFAULT_KEY, DEFAULT_SECRET

#: Sessions of 50 ms that connect, publish three messages and leave: five events each.
_SESSIONS_PER_SECOND = 400
_MESSAGES = 3

#: How often posts go out; EMQX sends as they come, over connections on which many are under way.
_TICK_SECONDS = 0.05

_TOKEN = "benchmark-token"  # noqa: S105 (of this machine)
_PATIENCE_SECONDS = 60.0


def events(job: Job) -> Measured:
    """Events for ``job.runs`` seconds; the agent also polls ``job.clients`` and is scraped.

    Its CPU seconds are those of all that time, its start included.
    """
    with simulator(job.clients) as url, tempfile.TemporaryDirectory() as folder:
        config = _config(Path(folder), url)
        command = [*PROGRAM, "prometheus", "--cfg", str(config)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8") as process:  # noqa: S603 (this project's own)
            try:
                metrics = find(process.stderr, r" on (http://\S+/metrics)")
                _on_one_core(process.pid)
                figures = _under_load(metrics, job.runs)
                process.terminate()
                usage = end_of(process)
            finally:
                if process.returncode is None:
                    process.kill()
    seconds = usage.ru_utime + usage.ru_stime
    amount = int(figures["posted"])
    return Measured(runs=[seconds], amount=amount, peak_rss=rss_bytes(usage), figures=figures)


def _on_one_core(pid: int) -> None:
    """Leave one core to the agent, and the others to who posts and scrapes (Linux)."""
    if hasattr(os, "sched_setaffinity"):
        core, *others = sorted(os.sched_getaffinity(0))
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})
        if others:
            os.sched_setaffinity(0, others)


def _under_load(metrics: str, seconds: int) -> dict[str, float]:
    _scrape(metrics)  # the first poll
    stop = threading.Event()
    scrapes: list[float] = []
    scraper = threading.Thread(target=_scrape_until, args=(stop, metrics, scrapes), daemon=True)
    scraper.start()
    began = time.monotonic()
    posted = _post(urlsplit(metrics), seconds)
    took = time.monotonic() - began
    stop.set()
    scraper.join()
    sessions = posted / (2 + _MESSAGES)
    lost = posted - _settled(metrics, "events_total", posted)
    uncounted = sessions * _MESSAGES - _settled(
        metrics, "messages_processed_total", sessions * _MESSAGES
    )
    return {
        "posted": posted,
        "a second": posted / took,
        "lost": lost,
        "not counted": uncounted + sessions - _sum(_scrape(metrics), "connections_total"),
        "scrapes": len(scrapes),
        "slowest scrape": max(scrapes, default=0.0),
    }


def _scrape_until(stop: threading.Event, metrics: str, scrapes: list[float]) -> None:
    while not stop.wait(1.0):
        began = time.monotonic()
        _scrape(metrics)
        scrapes.append(time.monotonic() - began)


def _scrape(metrics: str) -> str:
    with urlopen(metrics, timeout=_PATIENCE_SECONDS) as answer:  # noqa: S310 (of this machine)
        return str(answer.read(), "utf-8")


def _settled(metrics: str, name: str, expected: float) -> float:
    """Return the sum of a counter when it is as high as expected, or rises no more."""
    before, since = -1.0, time.monotonic()
    while (now := _sum(_scrape(metrics), name)) < expected and time.monotonic() < since + 15:
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(0.5)
    return now


def _sum(text: str, name: str) -> float:
    """Return the sum of a counter over the clients of this case, or over all that has none."""
    pattern = rf'^emqx_client_monitor_{name}\{{(?!.*client_id="(?!bench-)).*\}} (\S+)$'
    return sum(map(float, re.findall(pattern, text, re.MULTILINE)))


def _post(address: SplitResult, seconds: int) -> float:
    """Post at an even pace for so long; return how many events were taken.

    Raises:
        RuntimeError: one was not.
    """
    posted = 0.0
    sessions = int(_SESSIONS_PER_SECOND * _TICK_SECONDS)
    with socket.create_connection((address.hostname or "", address.port or 80), 30) as connection:
        began = time.monotonic()
        for tick in range(int(seconds / _TICK_SECONDS)):
            numbers = range(tick * sessions, (tick + 1) * sessions)
            posts = [one for number in numbers for one in _session(number)]
            connection.sendall(b"".join(map(_request, posts)))
            _read_answers(connection, len(posts))
            posted += len(posts)
            time.sleep(max(0.0, began + (tick + 1) * _TICK_SECONDS - time.monotonic()))
    return posted


def _session(number: int) -> Iterator[Mapping[str, object]]:
    """Yield the events of one session, as the rules of ``setup-events`` select them."""
    began = int(time.time() * 1000) - 50
    about = {"clientid": f"bench-{number % 5000}", "username": "undefined", "node": "emqx@a"}
    presence = {**about, "connected_at": began}
    yield {**presence, "event": "client.connected", "timestamp": began, "reason": "undefined"}
    for turn in range(_MESSAGES):
        at = began + 10 * (turn + 1)
        message = {"event": "message.publish", "qos": turn, "id": f"{number:030X}{turn:02X}"}
        times = {"timestamp": at, "publish_received_at": at, "payload_bytes": 20}
        yield {**about, **message, **times, "reason": "undefined"}
    yield {**presence, "event": "client.disconnected", "timestamp": began + 50, "reason": "normal"}


def _request(event: Mapping[str, object]) -> bytes:
    body = json.dumps(event).encode()
    head = (
        "POST /events HTTP/1.1\r\nhost: agent\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {_TOKEN}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _read_answers(connection: socket.socket, count: int) -> None:
    answers = b""
    while answers.count(b"\r\n\r\n") < count:
        part = connection.recv(65_536)
        if not part:
            raise RuntimeError("the agent closed the connection")
        answers += part
    taken = answers.count(b"HTTP/1.1 204")
    if taken != count:
        raise RuntimeError(f"{count - taken} of {count} posts were refused")


def _config(folder: Path, url: str) -> Path:
    """Write a configuration that watches everybody and sums up; JSON is YAML too."""
    access = {"api_key": DEFAULT_KEY, "api_secret": DEFAULT_SECRET, "api_url": url}
    watched: Sequence[Mapping[str, str]] = [{"alias": "{client_id}", "client_id_glob": "*"}]
    config = {
        "emqx": {**access, "alias": "simulated", "timeout_seconds": 60},
        "monitored_clients": watched,
        "max_clients": 1_000_000,
        "counters": "cumulative",
        "events": {"webhook": {"token": _TOKEN}},
        "state": {"path": str(folder / "state.db")},
        "prometheus": {"port": 0, "address": "127.0.0.1"}
        | {"enable_processed_counters": True, "enable_connection_counters": True},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


if __name__ == "__main__":
    main({"events": events})
