from otel_emqx_monitor.pulse import Pulse


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_loop_that_has_not_begun_or_that_has_ended_is_no_trouble() -> None:
    clock = Clock()
    pulse = Pulse("pushes", clock)
    clock.now += 1_000_000
    assert pulse.trouble is None
    pulse.turn(10)
    pulse.end()
    clock.now += 1_000_000
    assert pulse.trouble is None


def test_a_loop_may_take_as_long_as_it_says_and_a_minute() -> None:
    clock = Clock()
    pulse = Pulse("pushes", clock)
    pulse.turn(10)
    clock.now += 70
    assert pulse.trouble is None
    clock.now += 1
    assert pulse.trouble == ("the loop that pushes has not turned for 71 s and should within 10 s")
    pulse.turn(10)
    assert pulse.trouble is None
