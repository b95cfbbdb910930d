"""Templates of aliases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_emqx_monitor.config.templates import template

KNOWN = ("client_id", "username", "room")
VALUES = {"client_id": "id-1", "username": None, "room": "{username}"}


@pytest.mark.parametrize(
    "text, filled",
    [
        ("{client_id}", "id-1"),
        ("plain", "plain"),
        ("", ""),
        ("<{client_id}> {client_id}!", "<id-1> id-1!"),
        ("{username}", ""),
        ("a{username}b", "ab"),
        ("{room}", "{username}"),
        ("{{client_id}}", "{client_id}"),
        ("{{{client_id}}}", "{id-1}"),
        ("}}{{", "}{"),
        ("żółw\n{room}\0", "żółw\n{username}\0"),
    ],
)
def test_names_in_braces_are_replaced_once(text: str, filled: str) -> None:
    assert template(text, KNOWN).fill(VALUES) == filled


POSSIBLE = "may hold {client_id}, {username} and {room}, not "
BRACE = "has a brace without its partner; '{{' and '}}' are plain braces"


@pytest.mark.parametrize(
    "text, problem",
    [
        ("{colour}", f"{POSSIBLE}{{colour}}"),
        ("{client_id} {Room}", f"{POSSIBLE}{{Room}}"),
        ("{}", f"{POSSIBLE}{{}}"),
        ("{0}", f"{POSSIBLE}{{0}}"),
        ("{ room }", f"{POSSIBLE}{{ room }}"),
        ("{client_id:>9999999}", f"{POSSIBLE}{{client_id:>9999999}}"),
        ("{client_id!r}", f"{POSSIBLE}{{client_id!r}}"),
        ("{client_id.__class__}", f"{POSSIBLE}{{client_id.__class__}}"),
        ("{client_id[0]}", f"{POSSIBLE}{{client_id[0]}}"),
        ("{\x1b[2J}", f"{POSSIBLE}{{\\x1b[2J}}"),
        ("{" + "x" * 200 + "}", f"{POSSIBLE}{{{'x' * 58}…"),
        ("{client_id", BRACE),
        ("client_id}", BRACE),
        ("{{client_id}", BRACE),
        ("{client_id:{room}}", BRACE),
        ("{client_id}" * 21, "must hold at most 20 names in braces"),
        ("x" * 1_001, "must be at most 1000 characters"),
        ("{client_id}" * 100_000, "must be at most 1000 characters"),
    ],
)
def test_everything_else_in_braces_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        template(text, KNOWN)
    assert str(caught.value) == problem


def test_a_message_does_not_show_what_it_must_not_and_stays_short() -> None:
    with pytest.raises(ValueError, match=r"^may hold \{a\} and \{b\}, no others$"):
        template("{hunter2}", ["a", "b"], show=False)
    many = [f"group{number}" for number in range(5_000)]
    with pytest.raises(ValueError, match=r"\{group9\} and 4990 more, not \{x\}$"):
        template("{x}", many)


@given(st.text(max_size=500))
def test_any_text_can_be_said_with_plain_braces_doubled(text: str) -> None:
    written = text.replace("{", "{{").replace("}", "}}")
    assert template(written, KNOWN).fill({}) == text


@given(st.text("{}a:.!", max_size=12) | st.lists(st.sampled_from([*KNOWN, "{", "}"])).map("".join))
def test_what_is_accepted_means_what_it_means_to_python(text: str) -> None:
    values = {"client_id": "1", "username": "2", "room": "3"}
    try:
        read = template(text, KNOWN)
    except ValueError:
        return
    assert read.fill(values) == text.format_map(values)
