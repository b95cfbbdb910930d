"""The table of clients: search, rows, the way to further pages."""

from collections.abc import Sequence
from dataclasses import dataclass

from otel_emqx_monitor.fleet import Client, State
from otel_emqx_monitor.page.fields import Field
from otel_emqx_monitor.page.listing import ORDERS, Listing, connected_since
from otel_emqx_monitor.page.markup import Markup, joined, tag
from otel_emqx_monitor.page.query import STATES, Query
from otel_emqx_monitor.spans import in_words
from otel_emqx_monitor.text import printable

_NOT_KNOWN = "–"

#: In characters: a client id may have 65,535 bytes (MQTT 5.0, section 1.5.4), any client may choose
#: one, and 200 of those would be a page that no browser shows.
_LONGEST_NAME = 200

_TITLES = dict(
    zip(ORDERS, ("Client", "State", "Connected", "Last seen"), strict=True),
)


@dataclass(frozen=True)
class Table:
    """What the table is made of.

    ``now``, and when clients were last looked for, are in seconds since the epoch.
    """

    query: Query
    listing: Listing
    fields: Sequence[Field]
    now: float
    looked_at: float
    usernames: bool

    def form(self) -> Markup:
        """Return the search, which works without the script too."""
        states = [("", "all states"), *((state, state) for state in STATES)]
        orders = [(key, title.lower()) for key, title in _TITLES.items()]
        orders += [(f"-{field.key}", field.title.lower()) for field in self.fields]
        if all(value != self.query.sort for value, _ in orders):
            orders.append((self.query.sort, f"{self._title(self.query.order)}, reversed"))
        search = tag(
            "input",
            type="search",
            name="q",
            value=self.query.text,
            placeholder="Alias, client id" + (" or user" if self.usernames else ""),
            maxlength="200",
            autocomplete="off",
            spellcheck="false",
            aria_label="Search clients",
        )
        return tag(
            "form",
            search,
            tag("select", *_options(states, self.query.state), name="state", aria_label="State"),
            tag("select", *_options(orders, self.query.sort), name="sort", aria_label="Order"),
            tag("button", "Search"),
            role="search",
        )

    def _title(self, key: str) -> str:
        titles = _TITLES | {field.key: field.title for field in self.fields}
        return titles[key].lower()

    def rows(self) -> Markup:
        """Return how many there are, the table itself, and the way to its other pages."""
        return tag("div", self._counted(), self._table(), self._pages(), id="listing")

    def _counted(self) -> Markup:
        listing = self.listing
        text = f"{listing.matching:,} {'client' if listing.matching == 1 else 'clients'}"
        if listing.pages > 1:
            last = listing.first + len(listing.clients) - 1
            text = f"{listing.first:,} to {last:,} of {text}"
        return tag("p", text, class_="counted", role="status")

    def _table(self) -> Markup | None:
        if not self.listing.clients:
            return None
        heads = [(key, title, "") for key, title in _TITLES.items()]
        heads += [(field.key, field.title, "number") for field in self.fields]
        head = tag("tr", *(self._head(*one) for one in heads))
        body = joined(*map(self._row, self.listing.clients))
        return tag("table", tag("thead", head), tag("tbody", body))

    def _head(self, key: str, title: str, kind: str) -> Markup:
        chosen = key == self.query.order
        # Of numbers and times people want the greatest first.
        descending = not self.query.descending if chosen else key not in ("name", "state")
        direction = "descending" if self.query.descending else "ascending"
        address = self.query.link(order=key, descending=descending)
        return tag(
            "th",
            tag("a", title, href=address, data_here=True),
            class_=kind or None,
            aria_sort=direction if chosen else None,
            scope="col",
        )

    def _row(self, client: Client) -> Markup:
        late = client.overdue(self.looked_at) is True
        state = joined(
            tag("span", client.state.value, class_=f"state {client.state.value}"),
            tag("span", "overdue", class_="state overdue") if late else None,
        )
        since = connected_since(client)
        seen = client.memory.last_seen
        ago = "never" if seen is None else f"{in_words(self.now - seen)} ago"
        cells = [
            tag("td", *self._names(client), class_="name"),
            _cell("State", state),
            _cell(
                "Connected",
                _NOT_KNOWN if since is None else in_words(self.now - since),
                class_="time",
            ),
            _cell("Last seen", "now" if client.state is State.CONNECTED else ago, class_="time"),
            *(self._number(field, client) for field in self.fields),
        ]
        return tag("tr", *cells)

    def _names(self, client: Client) -> list[Markup]:
        names = [_name(client.alias, "alias")]
        if client.alias != client.client_id:
            names.append(_name(client.client_id, "id"))
        row = client.memory.row
        if self.usernames and row is not None and row.username:
            names.append(_name(f"user {row.username}", "id"))
        return names

    def _number(self, field: Field, client: Client) -> Markup:
        value = field.read(client)
        if value is None:
            return _cell(field.title, _NOT_KNOWN, class_="number none")
        kind = "none" if value == 0 else "alarming" if field.alarming else ""
        exact = f"{value:,}"
        if field.unit and value >= 1000:
            return _cell(field.title, _scaled(value), class_=f"number {kind}", title=f"{exact} B")
        text = f"{exact} {field.unit}".rstrip()
        return _cell(field.title, text, class_=f"number {kind}".rstrip())

    def _pages(self) -> Markup | None:
        page, pages = self.listing.page, self.listing.pages
        if pages == 1:
            return None
        before = self._page("Previous", page - 1) if page > 1 else None
        after = self._page("Next", page + 1) if page < pages else None
        return tag(
            "nav",
            before,
            tag("span", f"Page {page:,} of {pages:,}"),
            after,
            aria_label="Pages",
        )

    def _page(self, text: str, number: int) -> Markup:
        return tag("a", text, href=self.query.link(page=number), data_here=True)


def _name(text: str, kind: str) -> Markup:
    return tag("bdi", printable(text, _LONGEST_NAME), class_=kind)


def _cell(label: str, content: str, **attributes: str) -> Markup:
    """Return a cell; on a narrow screen its label stands beside it."""
    return tag("td", content, data_label=label, **attributes)


def _options(choices: Sequence[tuple[str, str]], chosen: str) -> list[Markup]:
    return [tag("option", text, value=value, selected=value == chosen) for value, text in choices]


def _scaled(count: int) -> str:
    """Return a number of bytes with three digits, in powers of 1000."""
    scaled, unit = float(count), ""
    for unit in ("k", "M", "G", "T", "P", "E"):  # noqa: B007 (the last one is used)
        scaled /= 1000
        if scaled < 999.5:
            break
    return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f} {unit}B"
