"""What the lab can do to a machine: whether it may mount, and where libfaketime is."""

import functools
import shutil
import subprocess
from pathlib import Path

from tests.faults.lab.fault import Need


def lacks(need: Need) -> bool:
    """Whether this machine does not have it."""
    return find_faketime() is None if need is Need.FAKETIME else not may_mount()


@functools.cache
def may_mount() -> bool:
    """Whether a process may have a mount namespace of its own, and mount in it."""
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@functools.cache
def find_faketime() -> Path | None:
    """Return the library that fakes the time of a process with threads."""
    places = ("/usr/lib", "/usr/local/lib")
    found = (one for place in places for one in Path(place).glob("**/libfaketimeMT.so.1"))
    return next(found, None)
