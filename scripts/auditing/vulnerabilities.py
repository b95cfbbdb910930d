"""Asks OSV for known vulnerabilities of what ``requirements/image.txt`` locks, with pip-audit.

Where OSV cannot be asked that is said, and no failure: machines without a way there build this
program too. Only an answer about every package passes for "none known".
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from auditing.locked import LOCK

#: How pip-audit ends where the way to OSV is closed: no network, no name, no answer in time.
_CLOSED = re.compile(r"(Connection|SSL|Proxy)Error.*|(Connect|Read)Timeout.*|Could not connect.*")

#: What stands in its errors where OSV, or a proxy in its place, refuses; 400 would be our mistake.
_REFUSED = re.compile(r"(?<=HTTPError: )(?!400)[45]\d\d .*")

_SECONDS_FOR_ONE_ANSWER = "15"


def ask(arguments: Sequence[str] = ()) -> tuple[str, str]:
    """Run pip-audit; return its report, empty when it came to none, and what it said of errors."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            *(sys.executable, "-m", "pip_audit", "--requirement", str(LOCK)),
            *("--disable-pip", "--vulnerability-service", "osv", "--progress-spinner", "off"),
            *("--timeout", _SECONDS_FOR_ONE_ANSWER, "--format", "json", "--output", str(report)),
        ]
        done = subprocess.run(  # noqa: S603 (our own command)
            [*command, *arguments], capture_output=True, encoding="utf-8", check=False
        )
        return (report.read_text("utf-8") if report.exists() else ""), done.stderr


def judge(report: str, errors: str) -> tuple[list[str], int]:
    """Return the lines to print, and the exit code: 1 for a finding or a failure of pip-audit."""
    if not report:
        lines = errors.strip().splitlines() or ["pip-audit says nothing"]
        if closed := _CLOSED.search(lines[-1]) or _REFUSED.search(errors):
            return [f"vulnerabilities: skipped, OSV cannot be asked: {closed[0][:160]}"], 0
        return [f"vulnerabilities: pip-audit failed: {lines[-1][:160]}"], 1
    packages = json.loads(report)["dependencies"]
    lines = [
        f"vulnerability: {one['name']} {one['version']}: {found['id']}"
        f" {' '.join(found['aliases'])}, fixed in {' '.join(found['fix_versions']) or 'no version'}"
        for one in packages
        for found in one.get("vulns", [])
    ]
    if lines:
        return lines, 1
    passed_over = [one["name"] for one in packages if "skip_reason" in one]
    if passed_over:
        return [f"vulnerabilities: skipped, OSV said nothing of {', '.join(passed_over)}"], 0
    return [f"vulnerabilities: {len(packages)} packages, none known"], 0


if __name__ == "__main__":
    said, code = judge(*ask(sys.argv[1:]))
    print("\n".join(said))
    sys.exit(code)
