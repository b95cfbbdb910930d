import pytest

from otel_emqx_monitor.simulator.routes import Route, route


@pytest.mark.parametrize(
    "path, expected",
    [
        (b"/api/v5/clients", (Route.LIST, "")),
        (b"/api/v5/clients/", (Route.LIST, "")),
        (b"/api/v5/clients/.", (Route.LIST, "")),
        (b"/api/v5/clients/%2E", (Route.LIST, "")),
        (b"/api/v5/clients/..", (Route.UNKNOWN, "")),
        (b"/api/v5/nodes/../clients", (Route.LIST, "")),
        (b"/api/v5/clients/a", (Route.LOOKUP, "a")),
        (b"/api/v5/clients/a/", (Route.LOOKUP, "a")),
        (b"/api/v5/clients/a%2Fb%20c", (Route.LOOKUP, "a/b c")),
        (b"/api/v5/clients/a+b", (Route.LOOKUP, "a+b")),
        (b"/api/v5/clients/%C3%BC%00%22", (Route.LOOKUP, 'ü\0"')),
        (b"/api/v5/clients/a/subscriptions", (Route.UNKNOWN, "")),
        (b"/api/v5/connectors", (Route.CONNECTORS, "")),
        (b"/api/v5/connectors/http:a", (Route.CONNECTORS, "http:a")),
        (b"/api/v5/actions/http%3Aa", (Route.ACTIONS, "http:a")),
        (b"/api/v5/rules/r", (Route.RULES, "r")),
        (b"/api/v5/rules/r/metrics", (Route.UNKNOWN, "")),
        (b"/api/v5/nodes", (Route.NODES, "")),
        (b"/api/v5/configs/global_zone", (Route.CONFIG, "")),
        (b"/api/v5/status", (Route.STATUS, "")),
        (b"/status", (Route.STATUS, "")),
        (b"//api/v5/clients", (Route.UNKNOWN, "")),
        (b"/api//v5/clients", (Route.UNKNOWN, "")),
        (b"/API/v5/clients", (Route.UNKNOWN, "")),
        (b"/", (Route.UNKNOWN, "")),
        (b"", (Route.UNKNOWN, "")),
        (b"/api/v5/clients/%zz", (Route.MALFORMED, "")),
        (b"/api/v5/clients/%2", (Route.MALFORMED, "")),
    ],
)
def test_path_leads_where_cowboy_takes_it(path: bytes, expected: tuple[Route, str]) -> None:
    assert route(path) == expected
