"""Reads ``requirements/image.txt`` as ``scripts/lock`` writes it."""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: The packages of the container image.
LOCK = ROOT / "requirements" / "image.txt"

_PACKAGE = re.compile(r"([a-z0-9][a-z0-9-]*)==([0-9][\w.+!]*) \\")
_HASH = re.compile(r"    --hash=sha256:([0-9a-f]{64})(?: \\)?")
_VIA = re.compile(r"    # +(?:via )?(\S.*)")


@dataclass
class Package:
    """One package: ``hashes`` are SHA-256 in hex, ``via`` names the packages that need it."""

    name: str
    version: str
    hashes: list[str] = field(default_factory=list)
    via: list[str] = field(default_factory=list)


def locked(text: str) -> list[Package]:
    """Return the packages in their order.

    Raises:
        ValueError: a line is none that ``scripts/lock`` writes.
    """
    packages: list[Package] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#"):
            continue
        if found := _PACKAGE.fullmatch(line):
            packages.append(Package(found[1], found[2]))
        elif packages and (found := _HASH.fullmatch(line)):
            packages[-1].hashes.append(found[1])
        elif packages and (found := _VIA.fullmatch(line)):
            if found[1] != "via":
                packages[-1].via.append(found[1].partition(" ")[0])
        else:
            raise ValueError(f"line {number}: {line!r} is not what scripts/lock writes")
    return packages
