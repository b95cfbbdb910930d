"""The recorded requests, sent again: the simulated broker answers as the live one did."""

import http.client
import json
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from tests.simulator.recordings import exchange, rows

RIGHT = "Basic " + b64encode(b"simulated-key:simulated-secret").decode()
WRONG = "Basic " + b64encode(b"simulated-key:something-else").decode()


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(Broker(source=StaticFleet(rows("11_clients_no_fields")))) as running:
        yield running


@pytest.mark.parametrize(
    "name, authorization",
    [
        ("10_clients_fields_all", RIGHT),
        ("11_clients_no_fields", RIGHT),
        ("12_list_page1_limit2", RIGHT),
        ("13_list_page2_limit2", RIGHT),
        ("13b_list_page3_limit2", RIGHT),
        ("14_repeated_clientid", RIGHT),
        ("15_conn_state_disconnected", RIGHT),
        ("17_single_connected", RIGHT),
        ("18_single_disconnected", RIGHT),
        ("19_single_404", RIGHT),
        ("20_401_wrong_secret", WRONG),
        ("20c_401_no_auth", None),
        ("21c_limit_10001", RIGHT),
        ("22_fields_selected", RIGHT),
        ("22b_fields_unknown", RIGHT),
        ("25_404_path", RIGHT),
        ("26_405_method", RIGHT),
        ("31_status", None),
        ("31b_status_json", None),
        ("84d_double_slash", RIGHT),
    ],
)
def test_recorded_exchange_is_answered_alike(
    simulator: Simulator, name: str, authorization: str | None
) -> None:
    recorded = exchange(name)
    # Not requests: it would tidy up the path.
    connection = http.client.HTTPConnection(urlsplit(simulator.url).netloc, timeout=5)
    headers = {"Connection": "close", "Accept": "*/*"}
    if authorization is not None:
        headers["Authorization"] = authorization
    connection.request(recorded.method, recorded.target, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()

    assert answer.status == recorded.status
    got = {header.lower(): value for header, value in answer.getheaders()}
    assert got.pop("date").endswith(" GMT")
    assert got == {header.lower(): value for header, value in recorded.headers.items()}
    if got.get("content-type") == "application/json":
        assert json.loads(body) == recorded.body
    else:
        assert body.decode() == recorded.body
