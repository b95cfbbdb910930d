"""docs/troubleshooting.md has an entry for each message of the program, and for nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from otel_emqx_monitor.cli import EXIT_CODES, main
from tests.documents import DOCS, ROOT, anchors
from tests.messages import HOLE, NO_MESSAGES, PACKAGE, messages

PAGE = DOCS / "troubleshooting.md"

#: Texts of three words or more that tell of nothing wrong, by what they are.
NO_TROUBLE = {
    "exit codes, which have a table in docs/commands.md": list(EXIT_CODES.values()),
    "what a command that did its work prints": [
        "The configuration is valid: … of ….",
        "EMQX … at … accepts the API key and shows its clients (…).",
        "of unknown version",
        "nodes not readable with this key",
        "EMQX masks its token, so it is sent each time",
        "was not there",
    ],
    "a change of the configuration that changes nothing, logged as information": [
        "is the one in force again",
        "makes no difference",
    ],
    "what systemctl status shows while the agent ends": [
        "STATUS=Counting the last events and pushing a last time"
    ],
    "the end of the agent or of a configuration, which nobody gets to see": [
        "the agent is shutting down",
        "another configuration has taken over",
    ],
    "looked for in what others say": [
        "cannot start any token",
        "Request Path Not Found",
        "rule id already exists",
    ],
    "facts on the page of an agent that works": [
        "when somebody reads, every … s at most",
        "Last good poll",
        "Last poll took",
        "…, the last one …",
        "the clients of the node …",
        "Nodes that run",
        "Nodes that hang",
        "Nodes that do not run",
        "nobody has scraped yet",
        "nothing has come yet",
        "the last came …",
        "memory only, until this agent ends",
        "of each client's present connection",
        "sums over the connections of each client",
    ],
    "SQL for EMQX": ["bytesize(payload) as payload_bytes"],
    "mistakes of whoever programs with this package": [
        "attempts is at least 1",
        "module … has no attribute …",
    ],
    "how other messages are led in": ["…; trying again until it works"],
}


def entries() -> Iterator[str]:
    """Yield each message that the page has, from its blocks of plain text."""
    for block in re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE):
        yield from block.splitlines()


ENTRIES = list(entries())
MESSAGES = messages()
TEXTS = {one.text for one in MESSAGES}
EXCEPTED = [text for texts in NO_TROUBLE.values() for text in texts]


def test_the_messages_of_the_program_are_found() -> None:
    assert len(TEXTS) > 200
    assert "it is damaged: …" in TEXTS  # an argument of an exception
    assert "emqx.ssl is false: anybody on the way can read and use the API key" in TEXTS  # logged
    assert "no poll of EMQX has ended yet" in TEXTS  # returned
    assert "must be a number" in TEXTS  # of a table


def test_each_message_has_an_entry() -> None:
    known = {*ENTRIES, *EXCEPTED}
    lacking = [f"{one.where}: {one.text}" for one in MESSAGES if one.text not in known]
    assert lacking == []


def test_each_entry_is_of_a_message() -> None:
    assert [text for text in ENTRIES if text not in TEXTS] == []


def test_no_message_has_two_entries() -> None:
    assert sorted({text for text in ENTRIES if ENTRIES.count(text) > 1}) == []


def test_each_exception_is_still_needed() -> None:
    assert [name for name in NO_MESSAGES if not (PACKAGE / name).exists()] == []
    assert [text for text in EXCEPTED if text not in TEXTS or text in ENTRIES] == []


MISTAKES = """
emqx:
  api_key: ${env:NOT_SET_ANYWHERE}
  api_secret_file: nowhere
  api_url: emqx:18083
  alias: lab
  timeout_seconds: soon
  ssll: true
prometheus: {port: 0x, ttl_seconds: -1}
monitored_clients:
  - {alias: a, client_id: one}
  - {alias: a, client_id_glob: "[a"}
polling: {interval_seconds: 60, stale_after_seconds: 5}
"""


def test_what_a_command_really_says_is_found_by_a_search(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(MISTAKES)
    found = CliRunner().invoke(main, ["validate", "--cfg", str(file)])
    patterns = [re.compile(".*".join(map(re.escape, text.split(HOLE)))) for text in ENTRIES]

    lines = found.output.splitlines()

    assert len(lines) > 8
    assert [line for line in lines if not any(one.search(line) for one in patterns)] == []


RULES = sorted((ROOT / "examples" / "prometheus" / "rules").glob("*.y*ml"))


@pytest.mark.skipif(not RULES, reason="there are no alert rules")
def test_each_alert_has_an_entry_and_each_such_entry_an_alert() -> None:
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    wanted = {f"alert-{rule['alert'].lower()}" for rule in rules}
    assert {anchor for anchor in anchors(PAGE) if anchor.startswith("alert-")} == wanted
