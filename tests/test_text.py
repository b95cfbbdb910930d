import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_emqx_monitor.text import printable


@pytest.mark.parametrize(
    "text, shown",
    [
        ("", ""),
        ("sensor 1", "sensor 1"),
        ("żółw ☃ 🐢", "żółw ☃ 🐢"),
        ("a\\b'c\"d", "a\\b'c\"d"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\r\tc\x00", "a\\x0ab\\x0d\\x09c\\x00"),
        ("\x7f\x80\x9b\xa0", "\\x7f\\x80\\x9b\\xa0"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("a\u2028b\u2029", "a\\u2028b\\u2029"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\ud800", "\\ud800"),
        ("\ufffe\U000e0001", "\\ufffe\\U000e0001"),
    ],
)
def test_what_does_not_print_as_itself_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    "text, limit, shown",
    [
        ("abcde", 5, "abcde"),
        ("abcdef", 5, "abcd…"),
        ("abcdef", 1, "…"),
        ("a\x1bb", 6, "a\\x1bb"),
        ("a\x1bbc", 6, "a\\x1b…"),
        ("ab\x1bc", 6, "ab…"),
        ("\u202e", 5, "…"),
    ],
)
def test_long_text_is_cut_but_never_inside_of_an_escape(text: str, limit: int, shown: str) -> None:
    assert printable(text, limit) == shown


# Of everything that `str` can hold, surrogates included.
@given(st.text(st.characters()), st.integers(1, 20))
def test_the_result_is_always_safe_and_short_enough(text: str, limit: int) -> None:
    assert printable(text).isprintable()
    assert printable(text, limit).isprintable()
    assert len(printable(text, limit)) <= limit
    assert printable(printable(text)) == printable(text)
