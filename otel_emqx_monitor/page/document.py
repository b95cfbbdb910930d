"""The whole page, from a snapshot and a query."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files

from otel_emqx_monitor.config import Config
from otel_emqx_monitor.page import facts
from otel_emqx_monitor.page.facts import Fact, Verdict
from otel_emqx_monitor.page.fields import USERNAMES, fields
from otel_emqx_monitor.page.listing import ORDERS, select
from otel_emqx_monitor.page.markup import Markup, joined, tag
from otel_emqx_monitor.page.query import OVERDUE, Query, parse
from otel_emqx_monitor.page.table import Table
from otel_emqx_monitor.readers.prometheus import PrometheusReader
from otel_emqx_monitor.snapshot import Snapshot
from otel_emqx_monitor.spans import in_words
from otel_emqx_monitor.version import __version__

_STYLE = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
_SCRIPT = files(__package__).joinpath("script.js").read_text(encoding="utf-8")

#: A browser without an icon asks for /favicon.ico, which is not there.
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Ccircle cx='8' cy='8' r='6' fill='%232f9e6e'/%3E%3C/svg%3E"
)


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


#: Only this style and this script take effect, and only this server is asked for anything.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_hash(_STYLE)}",
        f"script-src {_hash(_SCRIPT)}",
        "connect-src 'self'",
        "img-src data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


def render(  # noqa: PLR0913 (all that the page tells of)
    snapshot: Snapshot,
    config: Config,
    reader: PrometheusReader,
    flags: frozenset[str],
    *,
    parameters: Mapping[str, str],
    links: Sequence[tuple[str, str]],
    now: float,
) -> str:
    """Return the page as HTML.

    Args:
        snapshot: what is known.
        config: what is watched, and how; of its secrets nothing is shown.
        reader: whose scrapes are told of.
        flags: the flags that are on; they choose the columns.
        parameters: what the address asks for.
        links: relative addresses with their texts.
        now: seconds since the epoch.
    """
    numbers = fields(flags, snapshot.fleet.counted)
    query = parse(parameters, frozenset((*ORDERS, *(one.key for one in numbers))))
    usernames = USERNAMES in flags
    looked_at = snapshot.fleet.polled_at or now  # nobody is overdue for not being looked for
    listing = select(snapshot.fleet.clients, query, looked_at, numbers, usernames=usernames)
    table = Table(query, listing, numbers, now, looked_at, usernames)
    about = [
        ("Configuration", facts.of_configuration(snapshot, now)),
        ("Broker", facts.of_broker(snapshot, config)),
        ("Polls", facts.of_polls(snapshot, config, now)),
        ("Readers", facts.of_readers(snapshot, reader, flags, now)),
        ("Memory", facts.of_memory(snapshot, config, now)),
        ("Events", facts.of_events(snapshot, now)),
    ]
    body = joined(
        _header(snapshot, now),
        tag(
            "main",
            _verdict(facts.verdict(snapshot, now)),
            _tiles(snapshot, query, looked_at),
            tag("section", *(_card(title, told) for title, told in about if told), class_="cards"),
            tag("section", tag("h2", "Clients"), table.form(), table.rows(), id="clients"),
        ),
        tag("footer", *(tag("a", text, href=address) for address, text in links)),
    )
    return f"<!doctype html>\n{tag('html', _head(snapshot), tag('body', body), lang='en')}\n"


def _head(snapshot: Snapshot) -> Markup:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{snapshot.broker} – otel-emqx-monitor"),
        tag("link", rel="icon", href=_ICON),
        tag("style", Markup(_STYLE)),
        tag("script", Markup(_SCRIPT), type="module"),
    )


def _header(snapshot: Snapshot, now: float) -> Markup:
    uptime = in_words(max(0.0, now - snapshot.started_at))
    return tag(
        "header",
        tag("h1", tag("bdi", snapshot.broker)),
        tag(
            "p",
            f"otel-emqx-monitor {__version__}, up for {uptime}",
            tag("span", f"as of {facts.clock(now)}"),
        ),
    )


def _verdict(said: Verdict) -> Markup:
    kind = {True: "well", False: "failing", None: "waiting"}[said.well]
    reason = None if said.reason is None else tag("p", said.reason)
    role = "alert" if said.well is False else None
    return tag("div", tag("strong", said.text), reason, class_=f"verdict {kind}", role=role)


def _tiles(snapshot: Snapshot, query: Query, looked_at: float) -> Markup:
    """Return how many clients are in each state; each number leads to those clients."""
    fleet = snapshot.fleet
    counts = {state.value: count for state, count in fleet.states.items()}
    if any(one.watched.expected_every is not None for one in fleet.clients):
        counts[OVERDUE] = sum(one.overdue(looked_at) is True for one in fleet.clients)
    tiles = [_tile("", "clients", len(fleet.clients), query)]
    tiles += [_tile(state, state, count, query) for state, count in counts.items()]
    return tag("nav", *tiles, id="tiles", aria_label="Clients by state")


def _tile(state: str, name: str, count: int, query: Query) -> Markup:
    return tag(
        "a",
        tag("b", f"{count:,}"),
        tag("span", name, class_=f"dot {state}" if state else None),
        href=query.link(state=state),
        data_here=True,
        aria_current="true" if state == query.state else None,
    )


def _card(title: str, told: Sequence[Fact]) -> Markup:
    lines = [
        joined(
            tag("dt", one.label), tag("dd", one.text, class_="alarming" if one.alarming else None)
        )
        for one in told
        if one.label
    ]
    sentences = [tag("p", one.text) for one in told if not one.label]
    return tag("div", tag("h2", title), tag("dl", *lines), *sentences, class_="card")
