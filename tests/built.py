"""What the scripts ``get-…`` have built once for tests."""

import functools
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

_NOT_BUILT = 4


@functools.cache
def find_built(script: str) -> Path | None:
    """Return the path that ``scripts/SCRIPT --path-only`` prints; ``None`` if it is not built."""
    asked = subprocess.run(
        [ROOT / "scripts" / script, "--path-only"],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )
    if asked.returncode == _NOT_BUILT:
        return None
    asked.check_returncode()
    return Path(asked.stdout.removesuffix("\n"))


def require_built(script: str) -> Path:
    """Return that path; without it skip the test, or fail it when ``REQUIRE_REAL=1``."""
    found = find_built(script)
    if found is None:
        lacking = f"what this needs is not built; scripts/{script} builds it"
        if os.environ.get("REQUIRE_REAL") == "1":
            pytest.fail(lacking, pytrace=False)
        pytest.skip(lacking)
    return found
