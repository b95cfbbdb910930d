"""Clocks that jump: EMQX's, by which connections begin, and the agent's own."""

from collections.abc import Mapping

from tests.faults.lab.fault import Fault, Need, Presence
from tests.faults.lab.machine import find_faketime
from tests.faults.lab.stage import Stage

_HOUR = 3600
_MONTH = 30 * 24 * _HOUR


def fake_time(on: Stage) -> Mapping[str, str]:
    """The environment of an agent whose clock is ahead by the seconds in a file.

    Its monotonic clock is left alone: no jump of the time of day moves that.
    """
    set_ahead(on, 0)
    return {
        "LD_PRELOAD": str(find_faketime()),
        "FAKETIME_TIMESTAMP_FILE": str(on.folder / "ahead"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def set_ahead(on: Stage, seconds: int) -> None:
    """Set the agent's clock; the file is replaced, so that nobody reads half of it."""
    new = on.folder / "ahead.new"
    new.write_text(f"{seconds:+}\n")
    new.rename(on.folder / "ahead")


def emqx_jumps(name: str, how: str, seconds: int) -> Fault:
    def jump(on: Stage) -> None:
        on.devices.ahead = seconds

    def back(on: Stage) -> None:
        on.devices.ahead = 0

    return Fault(name=name, how=how, begin=jump, repair=back, up=1, presence=Presence.GOES_ON)


def agent_jumps(name: str, how: str, seconds: int) -> Fault:
    return Fault(
        name=name,
        how=how,
        begin=lambda on: set_ahead(on, seconds),
        repair=lambda on: set_ahead(on, 0),
        up=1,
        presence=Presence.GOES_ON,
        environ=fake_time,
        needs=[Need.FAKETIME],
    )


FAULTS = (
    emqx_jumps(
        "EMQX's clock jumps ahead", "clients that reconnect began in an hour, by their rows", _HOUR
    ),
    emqx_jumps(
        "EMQX's clock jumps back",
        "clients that reconnect began an hour ago, before their last connection",
        -_HOUR,
    ),
    agent_jumps("the agent's clock jumps ahead", "an hour ahead, and back again", _HOUR),
    agent_jumps("the agent's clock jumps back", "an hour back, and ahead again", -_HOUR),
    agent_jumps(
        "the agent's clock jumps a month ahead",
        "further than `forget_after_seconds`, and back again",
        _MONTH,
    ),
)
