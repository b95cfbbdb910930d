from urllib.parse import parse_qsl

import pytest

from otel_emqx_monitor.page.query import Query, parse

ORDERS = frozenset({"name", "seen", "received"})


def test_nothing_asked_is_everybody_by_name() -> None:
    assert parse({}, ORDERS) == Query("", "", "name", False, 1)


def test_what_is_asked_for_is_found() -> None:
    asked = {"q": " Dev ", "state": "overdue", "sort": "-received", "page": "3"}
    assert parse(asked, ORDERS) == Query("Dev", "overdue", "received", True, 3)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"state": "<b>"},
        {"sort": "-"},
        {"sort": "--seen"},
        {"sort": "sent"},
        {"page": "0"},
        {"page": "-1"},
        {"page": "1e3"},
        {"page": "٣"},
        {"page": "9" * 5000},
        {"page": ""},
        {"another": "x"},
        {"q": "  "},
    ],
)
def test_nonsense_counts_as_nothing(nonsense: dict[str, str]) -> None:
    assert parse(nonsense, ORDERS) == Query()


def test_long_text_is_cut() -> None:
    assert parse({"q": "x" * 9000}, ORDERS).text == "x" * 200


def test_a_link_says_what_is_not_usual_and_begins_with_the_first_page() -> None:
    assert Query().link() == "?#clients"
    query = Query('a&b="<', "absent", "seen", True, 7)
    address = query.link(page=8)
    assert dict(parse_qsl(address[1:].removesuffix("#clients"))) == {
        "q": 'a&b="<',
        "state": "absent",
        "sort": "-seen",
        "page": "8",
    }
    assert query.link(state="") == "?q=a%26b%3D%22%3C&sort=-seen#clients"
