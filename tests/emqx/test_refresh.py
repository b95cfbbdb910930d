import math

import pytest

from otel_emqx_monitor.emqx.refresh import seconds_of


@pytest.mark.parametrize(
    "duration, seconds",
    [
        ("15s", 15),
        ("1500ms", 1.5),
        ("1m", 60),
        ("1h2m3s", 3_723),
        ("1d", 86_400),
        ("0.5s", 0.5),
        ("15S", 15),
        (1_500, 1.5),
        ("infinity", math.inf),
        ("0s", None),
        (0, None),
        (-5, None),
        ("", None),
        ("15", None),
        ("15 parsecs", None),
        ("s", None),
        ("1s later", None),
        ("\u0661s", None),
    ],
)
def test_a_duration_as_emqx_writes_it(duration: str | int, seconds: float | None) -> None:
    assert seconds_of(duration) == seconds
