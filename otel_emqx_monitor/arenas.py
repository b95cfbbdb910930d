"""Keeps memory that is free from piling up: how many arenas glibc's malloc makes.

For each thread that allocates malloc makes another arena, up to eight for each core, and each keeps
for itself what has been freed there. An agent's threads take turns, as Python lets one run at a
time: many arenas gain them nothing, and every one grows in the course of hours to what a poll, a
scrape or a push needs at most.
"""

import ctypes
import os
import sys

#: As in glibc's malloc.h.
_M_ARENA_MAX = -8

#: One for the main thread, and one for all others.
_ARENAS = 2


def limit_arenas() -> bool:
    """Have malloc make few arenas from now on; return whether it does that now.

    To be called before there are threads. What the environment says (``MALLOC_ARENA_MAX``, or
    ``GLIBC_TUNABLES``) stays, and nothing happens where the C library is not glibc.
    """
    if not sys.platform.startswith("linux") or _is_said():
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS))
    except AttributeError:  # musl has no mallopt, and no arenas either
        return False


def _is_said() -> bool:
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    return "MALLOC_ARENA_MAX" in os.environ or "glibc.malloc.arena_max" in tunables
