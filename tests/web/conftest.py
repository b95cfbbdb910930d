from pathlib import Path

import pytest

from tests.config.loader import Loader
from tests.web.serving import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path)
    made.certify("127.0.0.1", "localhost")
    made.certify("prometheus.example", stem="client")
    return made


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    return Loader(tmp_path)
