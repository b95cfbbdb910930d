"""What nothing but the garbage collector frees: reference cycles."""

import gc
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import otel_emqx_monitor

_PACKAGE = str(Path(otel_emqx_monitor.__file__).parent)


def held_by_cycles(work: Callable[[], object]) -> list[str]:
    """Return which functions of this program had frames that nobody freed after ``work``."""
    gc.collect()
    gc.disable()
    try:
        work()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        codes = [one.f_code for one in gc.garbage if isinstance(one, FrameType)]
        return [code.co_qualname for code in codes if code.co_filename.startswith(_PACKAGE)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        gc.collect()
