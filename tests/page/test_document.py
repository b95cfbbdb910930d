from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest

from otel_emqx_monitor.config import PrometheusConfig
from otel_emqx_monitor.emqx.rows import NodeState, Row
from otel_emqx_monitor.fleet import State
from otel_emqx_monitor.page.document import CONTENT_SECURITY_POLICY
from otel_emqx_monitor.version import __version__
from tests.fleets import CALM
from tests.odd_ids import ODD_IDS
from tests.page.pages import KEY, SECRET, client, config, fleet, page, read, snapshot

FLAGS = tuple(PrometheusConfig().flags)
AT = datetime.fromtimestamp(400, UTC)


def row(client_id: str, **fields: Any) -> Row:
    told: dict[str, Any] = {
        "connected": True,
        "connected_at": AT,
        "recv_msg": 1234,
        "recv_oct": 6_007_727,
    }
    return Row(clientid=client_id, **(told | fields))


ROOM = client("dev-a", alias="Room", last_seen=1000.0, row=row("dev-a", username="alice"))
GONE = client("dev-b", State.ABSENT, expected_every=60, last_seen=400.0)


def test_the_page_says_what_this_is() -> None:
    document = read(page(snapshot(fleet(ROOM))))
    assert document.texts("h1") == ["lab"]
    assert document.texts("title") == ["lab – otel-emqx-monitor"]
    [header] = document.texts("header")
    assert f"otel-emqx-monitor {__version__}, up for 10 minutes" in header
    assert "as of 1970-01-01 00:16:42 UTC" in header
    assert document.texts("strong") == ["EMQX answers."]
    assert document.texts("h2") == ["Broker", "Polls", "Readers", "Memory", "Clients"]
    [footer] = document.all("a", href="metrics")
    assert footer.text == "Metrics"


def test_clients_are_counted_by_state_and_each_count_leads_to_them() -> None:
    document = read(page(snapshot(fleet(ROOM, GONE)), state="absent"))
    tiles = [one for one in document.all("a") if one.attributes["href"] in _TILES]
    assert [(one.attributes["href"], one.text) for one in tiles] == list(_TILES.items())
    assert [one.text for one in tiles if "aria-current" in one.attributes] == ["1absent"]
    without = read(page(snapshot(fleet(ROOM))))
    assert not without.all("a", href="?state=overdue#clients")


def test_nobody_is_overdue_for_not_being_looked_for() -> None:
    lately = client("dev-b", State.CONNECTED, expected_every=60, last_seen=900.0)
    document = read(page(snapshot(fleet(lately, polled_at=950.0))))
    [tile] = document.all("a", href="?state=overdue#clients")
    assert tile.text == "0overdue"


_TILES = {
    "?#clients": "2clients",
    "?state=connected#clients": "1connected",
    "?state=disconnected#clients": "0disconnected",
    "?state=absent#clients": "1absent",
    "?state=unknown#clients": "0unknown",
    "?state=overdue#clients": "1overdue",
}


def test_the_table_shows_state_and_counters() -> None:
    document = read(page(snapshot(fleet(ROOM, GONE)), flags=FLAGS))
    assert document.texts("th") == [
        *("Client", "State", "Connected", "Last seen", "Received", "Sent"),
        *("Bytes received", "Bytes sent", "Packets received", "Packets sent", "In flight", "Subs"),
    ]
    assert document.rows == [
        ["DEV-Bdev-b", "absentoverdue", "–", "10 minutes ago", *"–" * 8],
        ["Roomdev-a", "connected", "10 minutes", "now", "1,234", "–", "6.01 MB", *"–" * 5],
    ]
    [exact] = document.all("td", title="6,007,727 B")
    assert exact.text == "6.01 MB"


def test_nobody_found_leaves_the_search() -> None:
    document = read(page(snapshot(fleet(ROOM)), q="nobody"))
    assert document.texts("p", class_="counted") == ["0 clients"]
    assert not document.all("table")
    assert document.all("input", name="q")[0].attributes["value"] == "nobody"


def test_user_names_show_only_where_they_are_exported() -> None:
    assert "alice" not in page(snapshot(fleet(ROOM)), flags=FLAGS)
    shown = read(page(snapshot(fleet(ROOM)), flags=(*FLAGS, "enable_client_info"), q="ALICE"))
    assert shown.rows[0][0] == "Roomdev-auser alice"


def test_many_clients_are_shown_page_by_page() -> None:
    many = snapshot(fleet(*(client(f"{number:04}", alias="x") for number in range(450))))
    first = read(page(many, q="0"))
    assert len(first.rows) == 200
    assert first.texts("p", class_="counted") == ["1 to 200 of 450 clients"]
    assert [one.attributes["href"] for one in first.all("a") if one.text == "Next"] == [
        "?q=0&page=2#clients"
    ]
    last = read(page(many, page="3"))
    assert len(last.rows) == 50
    assert "Next" not in last.texts("a")
    assert "Page 3 of 3" in last.texts("span")


def test_heads_sort_the_greatest_first_and_turn_round() -> None:
    document = read(page(snapshot(fleet(ROOM)), flags=FLAGS, q="dev", sort="-received"))
    heads = {one.text: one.attributes["href"] for one in document.all("a")}
    assert heads["Received"] == "?q=dev&sort=received#clients"
    assert heads["Sent"] == "?q=dev&sort=-sent#clients"
    assert heads["Client"] == "?q=dev#clients"
    [sorted_by] = document.all("th", aria_sort="descending") or [
        one for one in document.all("th") if one.attributes.get("aria-sort") == "descending"
    ]
    assert sorted_by.text == "Received"


@pytest.mark.parametrize("sort", ["received", "-received", "-name", "seen", "-connected"])
def test_the_form_keeps_the_order_that_is_chosen(sort: str) -> None:
    document = read(page(snapshot(fleet(ROOM)), flags=FLAGS, sort=sort))
    chosen = [one for one in document.all("option") if "selected" in one.attributes]
    assert [one.attributes["value"] for one in chosen] == ["", sort]


HOSTILE = [
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' autofocus onfocus='alert(1)",
    "<!--",
    "-->",
    "&lt;b&gt;",
    "{{7*7}}${7*7}",
    "javascript:alert(1)",
    "\u202egnp.exe\u2066",
    "]]>",
    *ODD_IDS,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_strangers_chose_is_text_everywhere(text: str) -> None:
    calm = page(
        snapshot(
            fleet(
                client("a", alias="b", row=row("a", username="u")),
                nodes={"n": NodeState.RUNNING},
            ),
            broker="c",
            health=replace(CALM, up=False, last_error="e"),
        ),
        flags=(*FLAGS, "enable_client_info"),
    )
    hostile = page(
        snapshot(
            fleet(
                client(text, alias=text + "!", row=row(text, username=text)),
                nodes={text: NodeState.RUNNING},
            ),
            broker=text,
            health=replace(CALM, up=False, last_error=text),
        ),
        flags=(*FLAGS, "enable_client_info"),
        q=text,
    )
    before, after = read(calm), read(hostile)
    assert [one.tag for one in before.elements] == [one.tag for one in after.elements]
    assert [set(one.attributes) for one in before.elements] == [
        set(one.attributes) for one in after.elements
    ]
    assert before.texts("script") == after.texts("script")
    assert before.texts("style") == after.texts("style")
    for link in after.all("a"):
        assert (link.attributes["href"] or "").startswith(("?", "metrics"))
        if "?q=" in (link.attributes["href"] or ""):
            assert f"?q={quote(text.strip()[:200], safe='')}".replace("%20", "+") in (
                link.attributes["href"] or ""
            ).replace("%20", "+")
    assert after.all("input", name="q")[0].attributes["value"] == text.strip()[:200]
    assert after.rows[0][0].isprintable()


def test_names_that_are_longer_than_anybody_reads_are_cut() -> None:
    longest = "x" * 65_535
    hostile = client(longest, alias="y" * 65_535, row=row(longest, username="z" * 65_535))
    html = page(snapshot(fleet(hostile)), flags=(*FLAGS, "enable_client_info"))
    [cells] = read(html).rows
    assert cells[0] == f"{'y' * 199}…{'x' * 199}…user {'z' * 194}…"
    assert len(html) < 40_000


def test_no_secret_is_shown() -> None:
    settings = config(otlp={"headers": {"authorization": "Bearer hunter2"}})
    html = page(snapshot(fleet(ROOM)), settings, flags=FLAGS)
    assert not [one for one in (KEY, SECRET, "hunter2") if one in html]


def test_the_policy_allows_the_page_s_own_style_and_script_and_nothing_else() -> None:
    document = read(page(snapshot(fleet(ROOM))))
    directives = dict(part.split(" ", 1) for part in CONTENT_SECURITY_POLICY.split("; "))
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        [text] = document.texts(tag)
        digest = b64encode(sha256(text.encode()).digest()).decode()
        assert directives[directive] == f"'sha256-{digest}'"
    assert directives["default-src"] == "'none'"
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert not [one for one in document.elements if "style" in one.attributes]
    assert not [key for one in document.elements for key in one.attributes if key[:2] == "on"]
    assert [one.attributes for one in document.elements if "src" in one.attributes] == []
