from pathlib import Path

import pytest

from otel_emqx_monitor.config.exposure import exposure
from tests.config.loader import MINIMAL, Loader, emqx, otlp
from tests.faults.brokers import faulty_broker
from tests.processes import serving, settings, write_config

BY_VARIABLE = emqx(api_secret="${env:SECRET}")


@pytest.mark.parametrize(
    "text, held",
    [
        (MINIMAL, "emqx.api_secret"),
        (BY_VARIABLE + "events:\n  webhook:\n    token: hunter2\n", "events.webhook.token"),
        (BY_VARIABLE + "events:\n  mqtt:\n    password: 12345\n", "events.mqtt.password"),
        (otlp("headers:", "  authorization: hunter2"), "emqx.api_secret and otlp.headers"),
    ],
)
def test_a_secret_that_everybody_may_read_is_told_without_it(
    loader: Loader, text: str, held: str
) -> None:
    file = loader.file(text)
    file.chmod(0o644)
    warning = exposure(file)
    assert warning == (
        f"everybody on this machine may read {file}, which holds {held}: chmod 600 it, or take the"
        " secret from a file of its own or from a variable, ${env:NAME}"
    )


@pytest.mark.parametrize(
    "text, mode",
    [
        (MINIMAL, 0o600),
        (MINIMAL, 0o640),
        (BY_VARIABLE, 0o644),
        (emqx(api_secret="", api_secret_file="secret"), 0o644),
        ("- emqx\n", 0o644),
        ("", 0o644),
    ],
)
def test_there_is_nothing_to_say_of_other_files(loader: Loader, text: str, mode: int) -> None:
    file = loader.file(text)
    file.chmod(mode)
    assert exposure(file) is None
    assert exposure(loader.folder / "none.yaml") is None


def test_it_is_said_once_at_the_start(tmp_path: Path) -> None:
    with faulty_broker() as broker:
        path = write_config(tmp_path, settings(broker.url))
        Path(path).chmod(0o644)
        with serving("prometheus", "--cfg", path) as agent:
            agent.scrape()
            agent.scrape()
            said = [one for one in agent.messages if "everybody on this machine may read" in one]
    assert len(said) == 1
