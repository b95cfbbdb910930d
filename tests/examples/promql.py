"""The queries in ``examples/kubernetes/README.md``, as people would copy them."""

import re

from tests.examples.tools import KUSTOMIZE

_QUERY = re.compile(r"<!-- query: (\w+) -->\n```promql\n(.*?)```", re.DOTALL)
_WINDOW = re.compile(r"\[(\d+)([sm])\]")
_SECONDS = {"s": 1, "m": 60}


def documented_queries() -> dict[str, str]:
    """Return the queries by the names that comments above them have."""
    return dict(_QUERY.findall((KUSTOMIZE / "README.md").read_text()))


def hastened(query: str, times: int) -> str:
    """Return ``query`` with each of its windows so many times shorter."""

    def shorter(window: re.Match[str]) -> str:
        return f"[{int(window[1]) * _SECONDS[window[2]] * 1000 // times}ms]"

    return _WINDOW.sub(shorter, query)
