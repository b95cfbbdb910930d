"""What several dashboards show in the same way."""

from collections.abc import Callable

from dashboards.panels import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, Query, Step
from dashboards.queries import rate

#: How presence reads and looks: unknown is never the colour of away.
PRESENCE = {1: ("connected", GREEN), 0: ("away", ORANGE), -1: ("unknown", GREY)}

#: The colours of the agent's four states.
STATES = {"connected": GREEN, "disconnected": ORANGE, "absent": RED, "unknown": GREY}

#: The colours of EMQX's nodes: of the clients of one that hangs nothing is known.
NODE_STATES = {"running": GREEN, "hanging": GREY, "stopped": RED}

YES = {1: ("yes", GREEN), 0: ("no", RED)}

DIRECTIONS = {"from clients": BLUE, "to clients": PURPLE}

#: Colour where there is any.
ANY_IS_RED: tuple[Step, ...] = ((None, GREEN), (1.0, RED))

#: The shortest step of panels with rates: Grafana then takes them over two minutes at least.
EVERY = "30s"


def directions(series: Callable[..., str], name: str) -> list[Query]:
    """Return the sum of the rates of a counter for each direction, named for people."""
    return [
        Query(f"sum({rate(series(name, f'direction=`{label}`'))})", text)
        for text, label in (("from clients", "rx"), ("to clients", "tx"))
    ]
