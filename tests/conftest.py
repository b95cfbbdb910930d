import logging
import os
import shutil
from collections.abc import Iterator

import pytest
from hypothesis import settings

# The machine may be busy: an example that takes long is no failure.
settings.register_profile("here", deadline=None)
settings.load_profile("here")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program this machine lacks; with REQUIRE_REAL=1 (CI) it fails instead."""
    for marker in item.iter_markers("real"):
        for program in marker.args:
            if shutil.which(program) is None:
                lacking = f"this machine lacks the program {program}"
                if os.environ.get("REQUIRE_REAL") == "1":
                    pytest.fail(lacking, pytrace=False)
                pytest.skip(lacking)


@pytest.fixture(autouse=True)
def _own_log_level() -> Iterator[None]:
    """Undo what a command under test did to the level of all logs; later tests look at theirs."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
