"""Writes the bill of materials: CycloneDX in JSON, made by cyclonedx-py from the lock.

What the tool cannot know is added: the version of the program, which is not in pyproject.toml,
and which package needs which. Serial number and time are left out, so that one can compare.
"""

import json
import subprocess
import sys
from typing import Any

from auditing.locked import LOCK, ROOT, locked
from otel_emqx_monitor.version import __version__

_TOOL = [
    "-W",
    "ignore",
    "-m",
    "cyclonedx_py",
    "requirements",
    "--output-reproducible",
    "--of",
    "JSON",
    "--sv",
    "1.6",
]


def bill_of_materials() -> dict[str, Any]:
    """Return the document.

    Raises:
        subprocess.CalledProcessError: cyclonedx-py failed; it has said why.
    """
    made = subprocess.run(  # noqa: S603 (our own command)
        [sys.executable, *_TOOL, "--pyproject", str(ROOT / "pyproject.toml"), str(LOCK)],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    document: dict[str, Any] = json.loads(made.stdout)
    program = document["metadata"]["component"]
    program["version"] = __version__
    program["purl"] = f"pkg:pypi/{program['name']}@{__version__}"
    for component in document["components"]:
        component["bom-ref"] = component["purl"]
        component.pop("description")  # the line of the lock again
    document["dependencies"] = _dependencies(program, document["components"])
    return document


def _dependencies(program: dict[str, Any], components: list[dict[str, Any]]) -> list[Any]:
    refs = {one["name"]: one["bom-ref"] for one in (*components, program)}
    needs: dict[str, list[str]] = {ref: [] for ref in refs.values()}
    for package in locked(LOCK.read_text("utf-8")):
        for other in package.via:
            needs[refs[other]].append(refs[package.name])
    return [{"ref": ref, "dependsOn": sorted(needs[ref])} for ref in sorted(needs)]


if __name__ == "__main__":
    json.dump(bill_of_materials(), sys.stdout, indent=2, sort_keys=True)
    print()
