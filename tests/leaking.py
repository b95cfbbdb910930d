"""An agent that leaks, for the tests of the soak: ``python -m tests.leaking`` is its command."""

import os
import threading

from otel_emqx_monitor.cli import main

#: Much in the seconds of a test: 20 MB of memory, 10 descriptors and threads in a second.
_EVERY_SECONDS, _BYTES = 0.1, 2_000_000

_kept: list[bytes] = []


def leak() -> None:
    """Lose memory, descriptors and threads until the process ends."""
    never = threading.Event()
    while True:
        _kept.append(os.urandom(_BYTES))
        os.open(os.devnull, os.O_RDONLY)
        threading.Thread(target=never.wait, daemon=True).start()
        never.wait(_EVERY_SECONDS)


if __name__ == "__main__":
    threading.Thread(target=leak, daemon=True).start()
    main()
