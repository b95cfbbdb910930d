"""Keeps memory that is free from piling up in glibc's malloc, in a process that runs for months.

For each thread that allocates malloc makes another arena, up to eight for each core, and each keeps
for itself what has been freed there. An agent's threads take turns, as Python lets one run at a
time: many arenas gain them nothing, and every one grows in the course of hours to what a poll, a
scrape or a push needs at most.

Large blocks come from the kernel and go back to it, but only until the first of them is freed: from
then on malloc takes blocks of its size, up to 32 MiB, for ordinary ones, and the pages, expositions
and requests of each poll leave holes between small blocks that stay. A threshold that is set stays
as it is. Readers that do not read leave such holes too, of what the server holds for each of them,
up to 64 KiB: the threshold is lower than that.

With 100,000 clients all this is a fifth of the peak memory, for a twentieth of the CPU time; what
each part does to an agent that runs for long is in docs/soak.md.
"""

import ctypes
import os
import sys
from typing import Final, NamedTuple


class _Setting(NamedTuple):
    """A parameter of mallopt(3) as in glibc's malloc.h, its value, and its names outside."""

    parameter: int
    value: int
    variable: str
    tunable: str


_SETTINGS: Final = (
    # The main one, for all threads.
    _Setting(-8, 1, "MALLOC_ARENA_MAX", "glibc.malloc.arena_max"),
    # glibc begins with four times as much.
    _Setting(-3, 32 * 1024, "MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold"),
)


def settle_malloc() -> None:
    """Have malloc make no further arena, and give large blocks back, from now on.

    To be called before there are threads. What the environment says (the variables above, or
    ``GLIBC_TUNABLES``) stays, and nothing happens where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl has neither this nor arenas
        return
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    for one in _SETTINGS:
        if one.variable not in os.environ and one.tunable not in tunables:
            mallopt(one.parameter, one.value)
