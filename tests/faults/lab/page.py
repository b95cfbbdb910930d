"""docs/reliability.md: the table of all faults, made of what the lab found out about them."""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.faults.lab.fault import Finding

PAGE = Path(__file__).parents[3] / "docs" / "reliability.md"

_LONGEST_LINE = 110

_HEAD = """# What happens when something fails

`scripts/fault-lab` runs the agent as a process (`otel-emqx-monitor run`) between a simulated EMQX,
a real Prometheus that scrapes it and a real Collector that it pushes to, and makes each of the
{count} faults below happen. It also makes this page (`scripts/fault-lab --write`), and every row is
a test (`tests/faults/test_lab.py`).

While a fault lasts clients go on: one sends all the time, one disconnects, one comes back, one
reconnects with counters that begin at 0 again, one was there before and is gone, one never was
there. The agent polls every 0.2 s, its data are stale after 1.5 s, its counters are `cumulative`
and kept in a state file; so a fault of some seconds is as one of minutes elsewhere. Of every fault
the lab has seen that

* **nothing is lost**: when it is over, each counter of each client, in a scrape, in Prometheus and
  in what the Collector passes on, is exactly what the client did, also during the fault;
* **no counter falls** from one scrape to the next, in any of the three places;
* **presence is true or missing**: what was said of each client, scrape after scrape, is a part of
  what was true, in the same order. Nobody who stayed was ever said to be away, nobody who stayed
  away to be there. What nobody can know has no sample;
* in the end of the fault and after it `/healthz` says 200, and `/readyz` says 503 if all clients
  are unknown, else 200; both where scrapes are answered at all;
* the log has the lines of the table and no others (a line of the same words counts once), no
  traceback, and SIGTERM ends the agent with 0.

What no poll can find stays unknown: messages that a client sent after the last good poll on a
connection that is over before the next one. [Events](events.md) tell of those.

`up` is `emqx_client_monitor_up`, *clients* what is said of their presence while the fault lasts,
*sums* what of their counters in the end. *Within* is how many polls it takes after the repair, at
most, until everything is right; one of them may have been under way already. Pushes are given
where the Collector was the one that failed. While polls fail the pause between them doubles, up to
30 s.

When the agent's clock is set back, a Collector takes what is pushed for old and shows what it had
before, until its `metric_expiration` is over or the clock has caught up.

"""


def write(findings: Sequence[Finding]) -> None:
    """Write the page; ``findings`` are those of all faults."""
    PAGE.write_text(head(len(findings)) + table(findings), encoding="utf-8")


def head(count: int) -> str:
    """Return all that stands before the table of that many faults."""
    return _HEAD.format(count=count)


def table(findings: Sequence[Finding]) -> str:
    """Return the table in Markdown."""
    top = "| fault | how | `up` | clients | sums | log | within |\n" + "|---" * 7 + "|\n"
    return top + "".join(_row(finding) for finding in findings)


def rows_in(text: str) -> list[list[str]]:
    """Return the cells of each fault in the table of a page."""
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [row.removeprefix("| ").removesuffix(" |").split(" | ") for row in rows[1:]]


def _row(finding: Finding) -> str:
    fault = finding.fault
    cells = [
        fault.name,
        fault.how,
        "no answer" if fault.up is None else str(fault.up),
        fault.presence,
        finding.sums,
        "<br>".join(shortened(line) for line in finding.logged) or "nothing",
        f"{fault.polls} polls" + (f", {fault.pushes} pushes" if fault.pushes else ""),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def shortened(line: str) -> str:
    """Return a line of the log without what differs from run to run, and not too long."""
    line = re.sub(r"https?://[\w.]+:\d+/?\S*?(?=[:;,)]?(\s|$))", "…", line)
    line = re.sub(r"/\S+/(?=(state\.db|config\.yaml))", "", line)
    line = re.sub(r"(?<=after )\d+ s\b.*", "…", line)
    line = re.sub(r"\b(ipv4:)?127\.0\.0\.1:\d+", "…", line)
    line = line.partition("; ")[0]
    if len(line) > _LONGEST_LINE:
        line = line[:_LONGEST_LINE].rpartition(" ")[0] + " …"
    return line.replace("<", "&lt;")
