import logging

import pytest

from otel_emqx_monitor.outage import Outage


def test_a_row_of_failures_is_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage(logging.getLogger("x"), "it works again", "failed tries")
    outage.end(1.0)
    for second in range(2, 7):
        outage.go_on(second, f"failure {second}")
    assert outage.failures == 5
    outage.end(10.0)
    outage.end(11.0)
    assert caplog.messages == [
        "failure 2; trying again until it works",
        "it works again after 8 s and 5 failed tries, the last one: failure 6",
    ]
    assert outage.failures == 0
