"""When a configuration is read again, and what is made of it: real files, an agent that notes."""

import logging
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import trustme

from otel_emqx_monitor.config import Config, load
from otel_emqx_monitor.listening import ListenError
from otel_emqx_monitor.reloading import Reloader, read
from tests.processes import settings, write_config

URL = "http://127.0.0.1:1/api/"


class Agent:
    """Notes what it is given; ``refuses`` is raised instead, once."""

    def __init__(self) -> None:
        self.reloads: list[tuple[str, bool, set[str]]] = []
        self.successful = True
        self.refuses: Exception | None = None

    def reload(self, config: Config, *, push: bool, changed_files: Collection[Path]) -> None:
        refuses, self.refuses = self.refuses, None
        if refuses is not None:
            raise refuses
        changed = {file.name for file in changed_files}
        self.reloads.append((config.emqx.alias, push, changed))
        self.successful = True

    def note_reload(self, *, successful: bool) -> None:
        self.successful = successful


class Desk:
    """A folder with a configuration, and what reloads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.agent = Agent()
        self.file = folder / "config.yaml"

    def write(self, alias: str = "one", **sections: Any) -> None:
        """Write the file in place, as an editor may."""
        config = settings(URL, emqx={"alias": alias}) | sections
        write_config(self.folder, config)

    def begin(self) -> Reloader:
        def once_more() -> Config:
            return load(self.file, {})

        in_force = read(self.file, once_more)
        return Reloader(
            self.file, once_more, in_force, self.agent, push=lambda config: config.otlp is not None
        )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.write()
    return desk


def looks(reloader: Reloader) -> int:
    """Look until it is due, and return how many looks that took; 0 for never."""
    return next((number for number in range(1, 10) if reloader.is_due()), 0)


def test_a_file_that_stays_as_it_is_is_never_due(desk: Desk) -> None:
    assert looks(desk.begin()) == 0


def test_a_changed_file_is_read_when_it_has_stayed_the_same_for_a_look(desk: Desk) -> None:
    reloader = desk.begin()
    desk.write("two")
    assert looks(reloader) == 2
    reloader.reload()
    assert desk.agent.reloads == [("two", False, set())]
    assert looks(reloader) == 0


def test_a_file_that_is_being_written_is_not_read_half(desk: Desk) -> None:
    reloader = desk.begin()
    whole = desk.file.read_text()
    for part in range(1, 6):
        desk.file.write_text(whole[: part * 10])
        assert not reloader.is_due()
    desk.write("two")
    assert looks(reloader) == 2


def test_a_file_that_another_is_renamed_to_is_seen(desk: Desk) -> None:
    reloader = desk.begin()
    times = desk.file.stat()
    new = desk.folder / "new.yaml"
    new.write_text(desk.file.read_text().replace("one", "two"))
    os.utime(new, ns=(times.st_atime_ns, times.st_mtime_ns))
    new.rename(desk.file)
    assert looks(reloader) == 2
    reloader.reload()
    assert desk.agent.reloads == [("two", False, set())]


def test_a_configmap_of_kubernetes_is_seen_when_its_link_is_swapped(tmp_path: Path) -> None:
    """As kubelet does it: config.yaml -> ..data/config.yaml, and ..data -> a folder with a date."""
    mount = tmp_path / "mount"
    mount.mkdir()

    def publish(version: str, alias: str) -> None:
        (mount / version).mkdir()
        write_config(mount / version, settings(URL, emqx={"alias": alias}))
        (mount / "..data_tmp").symlink_to(version)
        (mount / "..data_tmp").rename(mount / "..data")

    publish("..2026_11_25_1", "one")
    (mount / "config.yaml").symlink_to("..data/config.yaml")
    desk = Desk(mount)
    reloader = desk.begin()
    assert looks(reloader) == 0
    publish("..2026_11_25_2", "two")
    assert looks(reloader) == 2
    reloader.reload()
    assert desk.agent.reloads == [("two", False, set())]


def test_a_change_that_makes_no_difference_is_no_reload(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    reloader = desk.begin()
    desk.file.write_text(desk.file.read_text() + "# a remark\n")
    assert looks(reloader) == 2
    reloader.reload()
    assert desk.agent.reloads == []
    assert desk.agent.successful
    assert caplog.messages == [f"what {desk.file} says now makes no difference"]
    assert looks(reloader) == 0


def test_a_bad_configuration_is_told_as_validate_does_and_the_old_one_stays(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    reloader = desk.begin()
    desk.write("two", polling={"deadline_seconds": -1}, max_clients="many")
    assert looks(reloader) == 2
    reloader.reload()
    assert desk.agent.reloads == []
    assert not desk.agent.successful
    with pytest.raises(Exception, match="deadline_seconds") as wrong:
        load(desk.file, {})
    assert caplog.messages == [
        *str(wrong.value).splitlines(),
        "the configuration that was in force stays in force",
    ]
    assert reloader.problem == str(wrong.value)


def test_a_bad_configuration_is_told_once_and_tried_again_for_what_it_names(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Its secret file comes later, and changes nothing that was looked at."""
    reloader = desk.begin()
    emqx = settings(URL, emqx={"alias": "two"})["emqx"] | {"api_secret_file": "secret"}
    del emqx["api_secret"]
    desk.write(emqx=emqx)
    assert looks(reloader) == 2
    reloader.reload()
    told = list(caplog.messages)
    assert "there is no such file" in "\n".join(told)
    assert [reloader.is_due() for _ in range(15)] == [False] * 14 + [True]
    reloader.reload()
    assert caplog.messages == told
    (desk.folder / "secret").write_text("s")
    assert [reloader.is_due() for _ in range(15)][-1]
    reloader.reload()
    assert desk.agent.reloads == [("two", False, {"secret"})]
    assert reloader.problem is None


def test_who_asks_is_answered_each_time(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Silence after a second SIGHUP would look as if the mistake were mended."""
    reloader = desk.begin()
    desk.file.unlink()
    reloader.reload(asked=True)
    told = list(caplog.messages)
    assert told[-1] == "the configuration that was in force stays in force"
    reloader.reload(asked=True)
    assert caplog.messages == told * 2
    reloader.reload()
    assert caplog.messages == told * 2


def test_going_back_to_what_is_in_force_is_a_success_without_a_reload(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    reloader = desk.begin()
    good = desk.file.read_text()
    desk.file.write_text("emqx: []\n")
    reloader.reload()
    assert not desk.agent.successful
    desk.file.write_text(good)
    assert looks(reloader) == 2
    reloader.reload()
    assert desk.agent.successful
    assert desk.agent.reloads == []
    assert caplog.messages[-1] == f"what {desk.file} says now is the one in force again"


def test_what_the_agent_cannot_do_leaves_the_old_one_in_force_until_it_can(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    reloader = desk.begin()
    desk.agent.refuses = ListenError("cannot listen on it")
    desk.write("two")
    reloader.reload()
    assert not desk.agent.successful
    assert caplog.messages == [
        "cannot listen on it",
        "the configuration that was in force stays in force",
    ]
    assert [reloader.is_due() for _ in range(15)][-1]
    reloader.reload()
    assert desk.agent.reloads == [("two", False, set())]
    assert desk.agent.successful


def test_a_bug_is_told_with_its_traceback_and_the_agent_goes_on(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    reloader = desk.begin()
    desk.agent.refuses = ZeroDivisionError("oh")
    desk.write("two")
    reloader.reload()
    assert not desk.agent.successful
    assert [record.exc_info is not None for record in caplog.records] == [True, False, False]
    assert caplog.messages[0] == "the reload failed in a way that is a bug of this program"


def test_a_deleted_file_is_a_bad_configuration(desk: Desk) -> None:
    reloader = desk.begin()
    desk.file.unlink()
    assert looks(reloader) == 2
    reloader.reload()
    assert reloader.problem is not None
    assert "there is no such file" in reloader.problem


def test_whether_to_push_follows_the_configuration(desk: Desk) -> None:
    reloader = desk.begin()
    desk.write(otlp={"endpoint": "http://collector:4317"})
    reloader.reload()
    assert desk.agent.reloads == [("one", True, set())]


def named(folder: Path) -> tuple[dict[str, Any], Callable[[str], None]]:
    """Return sections that name files, and what writes one of them anew with other contents."""
    authority = trustme.CA()

    def renew(name: str) -> None:
        if name == "ca.pem":
            trustme.CA().cert_pem.write_to_path(folder / name)
        elif name == "bundle":
            (folder / name).mkdir(exist_ok=True)
            # OpenSSL's folders change by files that come and go.
            (folder / name / "0a1b2c3d.0").unlink(missing_ok=True)
            (folder / name / "0a1b2c3d.0").write_bytes(authority.cert_pem.bytes() + os.urandom(4))
        elif name in ("me.pem", "me.key"):
            own = authority.issue_cert("me")
            own.cert_chain_pems[0].write_to_path(folder / "me.pem")
            own.private_key_pem.write_to_path(folder / "me.key")
        else:
            (folder / name).write_text(os.urandom(4).hex())

    for name in ("ca.pem", "bundle", "me.pem", "secret", "key", "token", "password"):
        renew(name)
    tls = {"ca_file": "ca.pem", "client_certificate_file": "me.pem", "client_key_file": "me.key"}
    sections = {
        "emqx": {
            "api_url": "https://emqx:18084/",
            "api_key_file": "key",
            "api_secret_file": "secret",
            "ssl": "bundle",
            "alias": "one",
        },
        "otlp": {"endpoint": "https://collector:4317", **tls},
        "events": {
            "webhook": {"token_file": "token"},
            "mqtt": {
                "host": "emqx",
                "tls": True,
                "username": "u",
                "password_file": "password",
                **tls,
            },
        },
    }
    return sections, renew


@pytest.mark.parametrize(
    "name", ["secret", "key", "token", "password", "ca.pem", "me.pem", "me.key", "bundle"]
)
def test_a_file_that_the_configuration_names_is_looked_at_too(desk: Desk, name: str) -> None:
    sections, renew = named(desk.folder)
    desk.write(**sections)
    reloader = desk.begin()
    assert looks(reloader) == 0
    renew(name)
    assert looks(reloader) == 2
    reloader.reload()
    [(_alias, _push, changed)] = desk.agent.reloads
    assert name in changed
    assert changed <= {name, "me.pem", "me.key"}
    assert looks(reloader) == 0


def test_a_named_file_that_is_written_anew_with_the_same_contents_is_no_reload(desk: Desk) -> None:
    sections, _ = named(desk.folder)
    desk.write(**sections)
    reloader = desk.begin()
    same = (desk.folder / "ca.pem").read_bytes()
    (desk.folder / "ca.pem").unlink()
    (desk.folder / "ca.pem").write_bytes(same)
    assert looks(reloader) == 2
    reloader.reload()
    assert desk.agent.reloads == []
