"""What the tests of the configuration share."""

from pathlib import Path

import pytest

from tests.config.loader import Loader


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    return Loader(tmp_path)
