"""The agent's own host: names that cannot be found, disks that are full or gone, no descriptors."""

import resource
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.faults.lab.fault import Fault, Need, Presence
from tests.faults.lab.matrix.broker import AGAIN, TRYING
from tests.faults.lab.stage import INTERVAL_SECONDS, STALE_SECONDS, Stage

#: What a broker is called whose address only the lab's own list of hosts has.
_HOST = "emqx.lab.test"

#: Bytes of the file system for the state; SQLite's journal grows to 4 MB.
_DISK_BYTES = 2**23

_WRITTEN_AGAIN = "state.db is written again after"


def in_namespace(script: str) -> Sequence[str]:
    """A command that runs the agent in a mount namespace of its own, after ``script``."""
    return ["unshare", "--mount", "sh", "-e", "-c", f'{script}\nexec "$0" "$@"']


# Names.


def with_own_hosts(on: Stage) -> Sequence[str]:
    """Give the agent a list of hosts of its own, and name servers that are not there."""
    (on.folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    if not (on.folder / "hosts").exists():
        name_is_known(on)
    return in_namespace(
        f"mount --bind {on.folder}/hosts /etc/hosts\n"
        f"mount --bind {on.folder}/resolv.conf /etc/resolv.conf"
    )


def name_is_known(on: Stage) -> None:
    (on.folder / "hosts").write_text(f"127.0.0.1 localhost {_HOST}\n")


def name_is_unknown(on: Stage) -> None:
    """Take the name off the list; a connection that is kept alive would need no name."""
    (on.folder / "hosts").write_text("127.0.0.1 localhost\n")
    on.broker.cut()


def ask_by_name(on: Stage) -> None:
    on.api_url = on.api_url.replace("127.0.0.1", _HOST)


# Disks.


def on_own_disk(on: Stage) -> Sequence[str]:
    """Give the agent a small file system for its state."""
    return in_namespace(f"mount -t tmpfs -o size={_DISK_BYTES} none {on.state}")


def seen_by_agent(on: Stage, path: Path) -> Path:
    """Where the agent's ``path`` is for everybody else."""
    return Path(f"/proc/{on.agent.pid}/root{path}")


def fill_the_disk(on: Stage) -> None:
    with seen_by_agent(on, on.state / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass  # it is full


def make_room(on: Stage) -> None:
    seen_by_agent(on, on.state / "filler").unlink()


def in_agents_namespace(on: Stage, *command: str) -> None:
    subprocess.run(["nsenter", f"--mount=/proc/{on.agent.pid}/ns/mnt", *command], check=True)  # noqa: S607 (from PATH on purpose)


def cover_the_folder(on: Stage) -> None:
    """Mount an empty folder that nobody can write to over that of the state."""
    in_agents_namespace(on, "mount", "-t", "tmpfs", "-o", "ro", "none", str(on.state))


def uncover_the_folder(on: Stage) -> None:
    in_agents_namespace(on, "umount", str(on.state))


def forbid_to_write(on: Stage) -> None:
    """Let the kernel refuse to make any file longer: to SQLite that is a disk that is full."""
    on.notes["limit"] = resource.prlimit(on.agent.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(on.agent.pid, resource.RLIMIT_FSIZE, (0, on.notes["limit"][1]))


def allow_to_write(on: Stage) -> None:
    resource.prlimit(on.agent.pid, resource.RLIMIT_FSIZE, on.notes["limit"])


def cannot_write(on: Stage) -> bool:
    """Whether some polls have not been written."""
    errors = on.seen.by("state_write_errors_total", "broker") if on.seen else {}
    return sum(errors.values()) >= 3


# Descriptors.


def take_all_descriptors(on: Stage) -> None:
    """Let the agent open no more than it has open now; strangers take what EMQX gives back."""
    on.notes["files"] = resource.prlimit(on.agent.pid, resource.RLIMIT_NOFILE)
    limit = max(descriptors(on)) + 1
    resource.prlimit(on.agent.pid, resource.RLIMIT_NOFILE, (limit, on.notes["files"][1]))
    on.notes["strangers"] = on.kept.enter_context(ExitStack())
    on.notes["limit"] = limit
    take_what_emqx_has(on)


def take_what_emqx_has(on: Stage) -> None:
    """Let EMQX refuse until polls have failed, which give the descriptor back that they had."""
    on.broker.refuse()
    until = time.monotonic() + 3 * INTERVAL_SECONDS
    while time.monotonic() < until or len(descriptors(on)) < on.notes["limit"]:
        visit(on)
    on.broker.recover()
    on.notes |= {"asked": len(on.broker.requests), "since": time.monotonic()}


def descriptors(on: Stage) -> list[int]:
    return [int(one.name) for one in Path(f"/proc/{on.agent.pid}/fd").iterdir()]


def visit(on: Stage) -> None:
    """Open a connection to the agent and say nothing."""
    stranger = socket.create_connection(("127.0.0.1", on.readers.port), timeout=1)
    on.notes["strangers"].callback(stranger.close)
    time.sleep(0.02)


def has_no_descriptor_for_emqx(on: Stage) -> bool:
    """Whether several polls have failed in a row, and none of them has reached EMQX."""
    visit(on)
    if len(on.broker.requests) != on.notes["asked"]:
        take_what_emqx_has(on)  # a scrape had one, and has given it back
    return on.seen is None and on.seconds_since("since") > STALE_SECONDS


def give_descriptors(on: Stage) -> None:
    resource.prlimit(on.agent.pid, resource.RLIMIT_NOFILE, on.notes["files"])
    on.notes["strangers"].close()


FAULTS = (
    Fault(
        name="the name of EMQX's host cannot be found at the start",
        how="no name server, and the name is not in `/etc/hosts`",
        before=ask_by_name,
        begin=name_is_unknown,
        repair=name_is_known,
        presence=Presence.UNKNOWN,
        at_start=True,
        inside=with_own_hosts,
        needs=[Need.MOUNTS],
        says=("error: cannot connect to EMQX at", AGAIN),
    ),
    Fault(
        name="the name of EMQX's host cannot be found any more",
        how="the same while the agent runs, and its connection is cut",
        before=ask_by_name,
        begin=name_is_unknown,
        repair=name_is_known,
        inside=with_own_hosts,
        needs=[Need.MOUNTS],
        says=(TRYING, "name resolution"),
    ),
    Fault(
        name="the disk is full",
        how="the file system of `state.path` is filled up by somebody else",
        begin=fill_the_disk,
        repair=make_room,
        up=1,
        presence=Presence.GOES_ON,
        lasts=cannot_write,
        inside=on_own_disk,
        needs=[Need.MOUNTS],
        says=("error: cannot write to the state file", _WRITTEN_AGAIN),
    ),
    Fault(
        name="no file may grow",
        how="`RLIMIT_FSIZE` 0 while the agent runs",
        begin=forbid_to_write,
        repair=allow_to_write,
        up=1,
        presence=Presence.GOES_ON,
        lasts=cannot_write,
        says=("error: cannot write to the state file", _WRITTEN_AGAIN),
    ),
    Fault(
        name="the state folder becomes read-only",
        how="another file system, empty and read-only, is mounted over the folder of `state.path`",
        begin=cover_the_folder,
        repair=uncover_the_folder,
        up=1,
        presence=Presence.GOES_ON,
        lasts=cannot_write,
        inside=on_own_disk,
        needs=[Need.MOUNTS],
        says=(
            "was moved or deleted; it is written anew",
            "error: cannot write to the state file",
            _WRITTEN_AGAIN,
        ),
    ),
    Fault(
        name="no file descriptors are left",
        how="`RLIMIT_NOFILE` at what the agent has open, and idle connections take what EMQX's had",
        begin=take_all_descriptors,
        repair=give_descriptors,
        up=None,
        presence=Presence.UNSERVED,
        lasts=has_no_descriptor_for_emqx,
        says=(
            "error: cannot take a connection: Too many open files",
            TRYING,
            "[Errno 24] Too many open files",
        ),
    ),
)
