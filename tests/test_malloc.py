"""How many arenas malloc has, counted as the kernel shows them (heaps of glibc lie at 64 MiB), and
whether large blocks are the kernel's."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

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
from otel_emqx_monitor.malloc import settle_malloc
from tests.test_malloc import heaps
settle_malloc()
barrier = threading.Barrier(9)
def work():
    kept = [bytes(2_000) for _ in range(50)]
    barrier.wait()
    barrier.wait()
for _ in range(8):
    threading.Thread(target=work).start()
barrier.wait()
print(heaps("self"))
barrier.wait()
"""


#: A block of 8 MiB is freed; then whether smaller ones are the kernel's.
FREE = """
import ctypes
from otel_emqx_monitor.malloc import settle_malloc
class MallocInfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd".split()]
    _fields_ += [(f"rest{number}", ctypes.c_size_t) for number in range(5)]
mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = MallocInfo
settle_malloc()
del (block := [bytes(8 * 2**20)])[0]
for size, count in (4 * 2**20, 1), (40_000, 100), (20_000, 100):
    before = mallinfo2().hblkhd
    blocks = [bytes(size) for _ in range(count)]  # the first ones may fill holes
    print(mallinfo2().hblkhd - before >= size * count * 0.9)
    del blocks
"""


def heaps(pid: int | str) -> int:
    """Return how many arenas a process has beside the main one.

    A heap is followed by what is reserved for it; that tells it from the stack of a thread.
    """
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    begins = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw-p .*\n\2-[0-9a-f]+ ---p ", maps, re.MULTILINE)
    return sum(int(begin, 16) % HEAP == 0 for begin, _ in begins)


def run(code: str, environ: Mapping[str, str] = MappingProxyType({})) -> str:
    named = ("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
    rest = {name: value for name, value in os.environ.items() if name not in named}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        env={**rest, **environ},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return ended.stdout.strip()


def test_many_threads_share_the_main_arena() -> None:
    assert run(ALLOCATE) == "0"


@pytest.mark.parametrize(
    "name, value", [("MALLOC_ARENA_MAX", "4"), ("GLIBC_TUNABLES", "glibc.malloc.arena_max=4")]
)
def test_what_the_environment_says_stays(name: str, value: str) -> None:
    assert run(ALLOCATE, {name: value}) == "3"


def test_large_blocks_are_the_kernel_s_also_when_larger_ones_have_been_freed() -> None:
    assert run(FREE).split() == ["True", "True", "False"]


@pytest.mark.parametrize(
    "name, value",
    [
        ("MALLOC_MMAP_THRESHOLD_", "33554432"),
        ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=33554432"),
    ],
)
def test_what_the_environment_says_of_large_blocks_stays(name: str, value: str) -> None:
    assert run(FREE, {name: value}).split() == ["False", "False", "False"]


def test_an_agent_has_one_arena_however_many_threads_it_has(tmp_path: Path) -> None:
    with (
        Simulator(Broker(source=StaticFleet([]))) as broker,
        serving("prometheus", "--cfg", write_config(tmp_path, settings(broker.url))) as agent,
    ):
        wait_until(lambda: agent.scrape().by("up", "broker"))
        assert heaps(agent.pid) == 0
