"""Reads the configuration again when it has changed, and lets good ones take over.

Files are looked at by ``stat`` every two seconds, not watched by inotify as a library would: that
works on every file system, over NFS and FUSE as well as on overlays, and sees the file that a path
leads to now, whichever link on the way to it was swapped. A ConfigMap of Kubernetes changes by a
swap of the link ``..data``, an editor's file by a rename; both give the path another inode.
"""

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from otel_emqx_monitor.config import Config, named_files
from otel_emqx_monitor.config.reading import Identity, identity
from otel_emqx_monitor.text import printable

log = logging.getLogger(__name__)

#: How often a configuration that could not be used is tried again though its file has not changed:
#: a file that it names may have come, or a port may be free. In looks.
_LOOKS_BETWEEN_TRIES = 15


class Agent(Protocol):
    """What configurations are handed to."""

    def reload(self, config: Config, *, push: bool, changed_files: Collection[Path]) -> None:
        """Let ``config`` take over; raises what has an ``exit_code`` when that cannot be."""

    def note_reload(self, *, successful: bool) -> None:
        """Let metrics tell whether the configuration on disk is good."""


@dataclass(frozen=True)
class Loaded:
    """A configuration, and the files that it was made of.

    ``digests`` are of the files that it names. ``identities`` are of its own, as it was before it
    was read, and of those, which are known only then: a change of one in that very moment shows
    with the next.
    """

    config: Config
    digests: Mapping[Path, bytes]
    identities: Mapping[Path, Identity] = field(compare=False)

    def changed_files(self, earlier: "Loaded") -> frozenset[Path]:
        """Return the files that it names and that ``earlier`` did not, or with other contents."""
        return frozenset(file for file, _ in self.digests.items() - earlier.digests.items())


def read(file: Path, load: Callable[[], Config]) -> Loaded:
    """Return what ``load`` makes of ``file``; raises what that raises."""
    own = identity(file)
    config = load()
    named = list(named_files(config))
    identities = {file: own, **{one: identity(one) for one in named}}
    return Loaded(config, {one: _digest(one) for one in named}, identities)


class Reloader:
    """Keeps an agent at the configuration on disk. For one thread.

    Args:
        file: the configuration's file.
        load: reads it; an exception with an ``exit_code`` says in words why it cannot be used.
        in_force: what the agent runs with.
        agent: gets what changes.
        push: says whether an agent with that configuration pushes.
    """

    def __init__(
        self,
        file: Path,
        load: Callable[[], Config],
        in_force: Loaded,
        agent: Agent,
        push: Callable[[Config], bool],
    ) -> None:
        self._file = file
        self._load = load
        self._in_force = in_force
        self._agent = agent
        self._push = push
        self._tried = self._seen = in_force.identities
        self._looks = 0
        self.problem: str | None = None  # why what is on disk is not in force

    def is_due(self) -> bool:
        """Look at the files; return whether they have changed and then stayed the same for a look.

        A file that is being written is not read half.
        """
        before, self._seen = self._seen, {file: identity(file) for file in self._tried}
        self._looks += 1
        if self._seen != before:
            return False
        again = self.problem is not None and self._looks >= _LOOKS_BETWEEN_TRIES
        return self._seen != self._tried or again

    def reload(self, *, asked: bool = False) -> None:
        """Read the configuration; it takes over if it differs and can be used.

        Why it cannot be used is logged, once for each reason, and each time if somebody ``asked``.
        """
        self._looks = 0
        self._tried = self._seen = {file: identity(file) for file in self._tried}
        try:
            loaded = read(self._file, self._load)
            if loaded != self._in_force:
                self._agent.reload(
                    loaded.config,
                    push=self._push(loaded.config),
                    changed_files=loaded.changed_files(self._in_force),
                )
                self._in_force = loaded
            else:
                self._note_no_change()
        except Exception as error:
            if getattr(error, "exit_code", None) is None:
                log.exception("the reload failed in a way that is a bug of this program")
            self._refuse(str(error), again=asked)
        else:
            self._tried = self._seen = loaded.identities
            self.problem = None

    def _refuse(self, problem: str, *, again: bool) -> None:
        if again or problem != self.problem:
            for line in problem.splitlines():
                log.error("%s", line)
            log.error("the configuration that was in force stays in force")
        self.problem = problem
        self._agent.note_reload(successful=False)

    def _note_no_change(self) -> None:
        self._agent.note_reload(successful=True)
        words = "is the one in force again" if self.problem else "makes no difference"
        log.info("what %s says now %s", printable(str(self._file), 200), words)


def _digest(file: Path) -> bytes:
    """Return what changes with the content of a file, or with that of the files of a folder."""
    digest = hashlib.sha256()
    for one in _files_at(file):
        with suppress(OSError):  # it was there when it was loaded; that it is gone is a change
            digest.update(one.read_bytes())
    return digest.digest()


def _files_at(path: Path) -> Iterable[Path]:
    return sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
