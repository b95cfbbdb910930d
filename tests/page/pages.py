"""What the tests of the page share: a configuration, snapshots, and how to take a page apart."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from otel_emqx_monitor.cache import Freshness, SnapshotCache
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.emqx.errors import EmqxError
from otel_emqx_monitor.emqx.rows import Poll
from otel_emqx_monitor.fleet import Client, Fleet, Memory, State, Watched
from otel_emqx_monitor.page.document import render
from otel_emqx_monitor.readers.prometheus import PrometheusReader
from otel_emqx_monitor.snapshot import Snapshot
from tests.fleets import CALM

#: When the page is asked for: the fleet's poll ended two seconds before.
NOW = 1_002.0

SECRET = "the-api-secret-itself"
KEY = "the-api-key-itself"


def config(**sections: Any) -> Config:
    emqx = {"api_url": "http://emqx/", "api_key": KEY, "api_secret": SECRET, "alias": "lab"}
    return Config.model_validate({"emqx": emqx | sections.pop("emqx", {}), **sections})


def client(
    client_id: str,
    state: State = State.CONNECTED,
    *,
    alias: str | None = None,
    expected_every: float | None = None,
    **memory: Any,
) -> Client:
    watched = Watched(alias or client_id.upper(), client_id, "lab", expected_every)
    return Client(watched, state, Memory(since=500.0, **memory))


def fleet(*clients: Client, **about: Any) -> Fleet:
    return Fleet(clients, **{"polled_at": 1_000.0, "remembered_at": 1_000.0, **about})


def snapshot(of: Fleet, **about: Any) -> Snapshot:
    return Snapshot(**{"broker": "lab", "fleet": of, "health": CALM, "started_at": 402.0, **about})


def idle_reader() -> PrometheusReader:
    """Return a reader that nobody has read from."""

    def refuse() -> Poll:
        raise EmqxError

    never = fleet()
    return PrometheusReader(SnapshotCache("lab", refuse, lambda _: never, never, Freshness(1, 1)))


def page(
    of: Snapshot,
    settings: Config | None = None,
    flags: tuple[str, ...] = (),
    reader: PrometheusReader | None = None,
    **parameters: str,
) -> str:
    return render(
        of,
        settings or config(),
        reader or idle_reader(),
        frozenset(flags),
        parameters=parameters,
        links=[("metrics", "Metrics")],
        now=NOW,
    )


@dataclass
class Element:
    """An element with its attributes, the text in it and in what it contains."""

    tag: str
    attributes: dict[str, str | None]
    text: str = ""


@dataclass
class Document(HTMLParser):
    """All elements of a page in order, as a browser would find them."""

    elements: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.elements.append(element)
        if tag not in {"input", "link", "meta"}:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str, **attributes: str) -> list[Element]:
        wanted = {name.strip("_"): value for name, value in attributes.items()}
        return [
            one
            for one in self.elements
            if one.tag == tag and all(one.attributes.get(key) == wanted[key] for key in wanted)
        ]

    def texts(self, tag: str, **attributes: str) -> list[str]:
        return [one.text for one in self.all(tag, **attributes)]

    @property
    def facts(self) -> dict[str, str]:
        """The labels of the cards with what they say."""
        return dict(zip(self.texts("dt"), self.texts("dd"), strict=True))

    @property
    def rows(self) -> list[list[str]]:
        """The cells of the table, row by row."""
        rows: list[list[str]] = []
        for one in self.elements:
            if one.tag == "tr":
                rows.append([])
            elif one.tag == "td":
                rows[-1].append(one.text)
        return [row for row in rows if row]


def read(html: str) -> Document:
    document = Document()
    document.feed(html)
    document.close()
    assert not document._open
    return document
