"""How many arenas malloc has, counted as the kernel shows them: heaps of glibc lie at 64 MiB."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from tests.processes import serving, settings, wait_until, write_config

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or sys.maxsize < 2**32,
    reason="arenas are glibc's, and lie at 64 MiB on machines of 64 bits",
)

#: HEAP_MAX_SIZE of glibc's arena.c: each heap of an arena but the main one is aligned to it.
HEAP = 64 * 2**20

#: Eight threads that allocate at the same time; then the number of heaps.
ALLOCATE = """
import threading
from pathlib import Path
from otel_emqx_monitor.arenas import limit_arenas
from tests.test_arenas import heaps
said = limit_arenas()
barrier = threading.Barrier(9)
def work():
    kept = [bytes(2_000) for _ in range(50)]
    barrier.wait()
    barrier.wait()
for _ in range(8):
    threading.Thread(target=work).start()
barrier.wait()
print(said, heaps("self"))
barrier.wait()
"""


def heaps(pid: int | str) -> int:
    """Return how many arenas a process has beside the main one."""
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    begins = re.findall(r"^([0-9a-f]+)-[0-9a-f]+ rw-p 00000000 00:00 0 *$", maps, re.MULTILINE)
    return sum(int(begin, 16) % HEAP == 0 for begin in begins)


def allocate(environ: Mapping[str, str]) -> str:
    named = ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")
    rest = {name: value for name, value in os.environ.items() if name not in named}
    ended = subprocess.run(
        [sys.executable, "-c", ALLOCATE],
        cwd=Path(__file__).parents[1],
        env={**rest, **environ},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return ended.stdout.strip()


def test_many_threads_share_one_arena_beside_the_main_one() -> None:
    assert allocate({}) == "True 1"


@pytest.mark.parametrize(
    "name, value", [("MALLOC_ARENA_MAX", "4"), ("GLIBC_TUNABLES", "glibc.malloc.arena_max=4")]
)
def test_what_the_environment_says_stays(name: str, value: str) -> None:
    assert allocate({name: value}) == "False 3"


def test_an_agent_has_few_arenas_however_many_threads_it_has(tmp_path: Path) -> None:
    with (
        Simulator(Broker(source=StaticFleet([]))) as broker,
        serving("prometheus", "--cfg", write_config(tmp_path, settings(broker.url))) as agent,
    ):
        wait_until(lambda: agent.scrape().by("up", "broker"))
        assert heaps(agent.pid) <= 1
