"""What the address of the page asks for; nonsense counts as nothing asked."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from otel_emqx_monitor.fleet import State

#: The values of ``state``; overdue is no state of its own, but what people look for.
OVERDUE = "overdue"
STATES = (*(state.value for state in State), OVERDUE)

#: MQTT client ids have 65,535 bytes at most; nobody types that much.
_LONGEST_TEXT = 200

_LAST_PAGE = 1_000_000


@dataclass(frozen=True)
class Query:
    """``text``: part of an id or alias. ``state``: one of ``STATES``, or empty for all.

    ``order`` is the key of a column, ``descending`` its direction; ``page`` counts from 1.
    """

    text: str = ""
    state: str = ""
    order: str = "name"
    descending: bool = False
    page: int = 1

    def link(self, **changes: object) -> str:
        """Return the relative address of the page with ``changes``, of its first page unless told.

        What is as it is without asking stands in no address.
        """
        target = replace(self, **{"page": 1, **changes})  # type: ignore[arg-type] # any field
        parts = {
            "q": target.text,
            "state": target.state,
            "sort": target.sort if target.sort != Query().sort else "",
            "page": str(target.page) if target.page > 1 else "",
        }
        told = urlencode({key: value for key, value in parts.items() if value})
        return f"?{told}#clients"

    @property
    def sort(self) -> str:
        """The value of ``sort``: the key, behind a dash when descending."""
        return f"-{self.order}" if self.descending else self.order


def parse(parameters: Mapping[str, str], orders: frozenset[str]) -> Query:
    """Return what ``parameters`` ask for; ``orders`` are the keys that can be sorted by."""
    sort = parameters.get("sort", "")
    state = parameters.get("state", "")
    known = sort.removeprefix("-") in orders
    return Query(
        text=parameters.get("q", "").strip()[:_LONGEST_TEXT],
        state=state if state in STATES else "",
        order=sort.removeprefix("-") if known else Query.order,
        descending=known and sort.startswith("-"),
        page=_page(parameters.get("page", "")),
    )


def _page(text: str) -> int:
    """Return a page number; ``isdecimal`` alone would take digits that are not ASCII."""
    if text.isascii() and text.isdecimal() and len(text) <= len(str(_LAST_PAGE)):
        return max(1, int(text))
    return 1
