"""What the tests of the configuration share."""

from pathlib import Path

import pytest
import trustme

from tests.config.loader import Loader


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    return Loader(tmp_path)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def pem_files(loader: Loader, authority: trustme.CA) -> None:
    """Put ``ca.pem``, ``client.pem``, ``client.key`` and ``other.key`` beside the configuration."""
    client, other = (authority.issue_cert(name) for name in ("client.test", "other.test"))
    authority.cert_pem.write_to_path(str(loader.folder / "ca.pem"))
    client.cert_chain_pems[0].write_to_path(str(loader.folder / "client.pem"))
    client.private_key_pem.write_to_path(str(loader.folder / "client.key"))
    other.private_key_pem.write_to_path(str(loader.folder / "other.key"))
