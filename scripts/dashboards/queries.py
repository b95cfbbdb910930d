"""Which series a query takes, and the queries that several panels share.

A value that was chosen in a list comes in as ``${name:regex}`` between backticks. That takes every
client id but one with a backtick in it: within backticks PromQL knows no escapes, so what Grafana
has escaped for the regular expression arrives as it is, quotes and backslashes too. Grafana's own
way, ``"$name"``, breaks the query at the first quote in a client id.
"""

PREFIX = "emqx_client_monitor_"

#: Labels by which one client is known, whichever agent tells of it.
CLIENT = "broker, alias, client_id"

_AGENTS = "job=~`${job:regex}`, broker=~`${broker:regex}`"
_FOUND = "alias=~`(?is).*${alias:regex}.*`, client_id=~`(?is).*${search:regex}.*`"
_CHOSEN = "client_id=~`${client_id:regex}`"


def agents(name: str, *more: str) -> str:
    """Return the series of a metric of the agents that were chosen."""
    return f"{PREFIX}{name}{{{', '.join([_AGENTS, *more])}}}"


def found(name: str, *more: str) -> str:
    """Return a client metric of the clients whose alias and client id hold what was typed."""
    return agents(name, _FOUND, *more)


def chosen(name: str, *more: str) -> str:
    """Return a client metric of the clients that were chosen in the list."""
    return agents(name, _CHOSEN, *more)


def on_node(expression: str) -> str:
    """Return ``expression`` for the clients that are on the node that was chosen.

    Only ``client_info`` has the label ``node``, and it may be switched off. "All" is ``.*``, which
    takes ``connected`` too, as that has no such label: so without a choice no client is left out.
    """
    names = f'__name__=~"{PREFIX}(connected|client_info)"'
    members = f"{{{names}, node=~`${{node:regex}}`, {_AGENTS}, {_FOUND}}}"
    return f"({expression} and on (job, instance, broker, client_id) {members})"


def each(expression: str) -> str:
    """Return one series for each client: where several agents tell of it, the highest value."""
    return f"max by ({CLIENT}) ({expression})"


def everywhere(expression: str) -> str:
    """Return one series for each client: where several agents tell of it, the lowest value.

    With an agent beside each node a client that is on one of them is overdue to all others.
    """
    return f"min by ({CLIENT}) ({expression})"


def presence(series: str) -> str:
    """Return 1 for connected, 0 for away, -1 while nothing is known of a client.

    A client of which nothing is known has no sample. It was known some time in the range shown, so
    that is looked up at the end of the range, and stands in wherever there is no sample.
    """
    ever = f"last_over_time({series}[$__range] @ end())"
    return f"{each(series)} or {each(ever)} * 0 - 1"


def rate(series: str) -> str:
    """Return how much a counter grows in a second."""
    return f"rate({series}[$__rate_interval])"


def increase(series: str) -> str:
    """Return how much a counter grew in one interval of the panel."""
    return f"increase({series}[$__rate_interval])"
