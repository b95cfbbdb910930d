"""Checks the licences of all packages that the program needs to run, from installed metadata.

It needs no network. A licence that is not allowed below, or not told, is a finding.
"""

import importlib.metadata
import re
import sys
from collections.abc import Iterator, Mapping
from email.message import Message
from typing import cast

from packaging.requirements import Requirement

_PROGRAM = "otel-emqx-monitor"

#: SPDX expressions under which packages may be run and shipped with a program under Apache-2.0.
ALLOWED = frozenset(
    {
        "Apache-2.0",
        "Apache-2.0 AND BSD-2-Clause",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "EPL-2.0 OR BSD-3-Clause",
        "MIT",
        "MPL-2.0",
        "PSF-2.0",
    }
)

#: The classifiers that stand for one licence; "BSD License" is several.
_CLASSIFIERS = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}

#: What somebody has read in the source where the metadata do not tell which licence it is.
_READ = {"google-re2": "BSD-3-Clause", "protobuf": "BSD-3-Clause"}


def licence(metadata: Message) -> str | None:
    """Return the SPDX expression of a package, ``None`` if it does not tell.

    The field ``License`` of old metadata is free text, so it only counts if it is allowed as it is.
    """
    if expression := metadata.get("License-Expression"):
        return str(expression)
    if (text := metadata.get("License")) in ALLOWED:
        return str(text)
    classifiers = metadata.get_all("Classifier") or []
    told = {_CLASSIFIERS.get(one) for one in classifiers if one.startswith("License ::")}
    if len(told) == 1 and None not in told:
        return told.pop()
    return _READ.get(_normal(metadata["Name"]))


def needed(name: str) -> Iterator[Message]:
    """Yield the metadata of all packages that ``name`` needs to run here, each once."""
    known = {_normal(name)}
    waiting = [name]
    while waiting:
        for line in importlib.metadata.requires(waiting.pop()) or []:
            requirement = Requirement(line)
            # An extra that somebody asks for is taken for one that everybody asks for.
            extras = requirement.extras | {""}
            applies = requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in extras
            )
            if applies and (normal := _normal(requirement.name)) not in known:
                known.add(normal)
                waiting.append(requirement.name)
                # Until Python 3.12 the type that is told lacks what the object has.
                yield cast("Message", importlib.metadata.metadata(requirement.name))


def findings(licences: Mapping[str, str | None]) -> list[str]:
    """Return what is wrong, one line for each package."""
    return [
        f"{name}: {'does not tell its licence' if found is None else f'{found} is not allowed'};"
        " see scripts/auditing/licences.py"
        for name, found in sorted(licences.items())
        if found not in ALLOWED
    ]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Print what was found; 1 when a licence is not allowed."""
    licences = {one["Name"]: licence(one) for one in needed(_PROGRAM)}
    wrong = findings(licences)
    for line in wrong:
        print(f"licence: {line}")
    print(f"licences: {len(licences)} packages, {len(wrong)} not allowed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
