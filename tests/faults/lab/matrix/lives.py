"""What befalls the agent itself, and the nodes of a cluster."""

import os
import signal
import threading
import time

from tests.faults.lab.devices import ELSEWHERE
from tests.faults.lab.fault import Fault, Presence
from tests.faults.lab.matrix.broker import IMPATIENT
from tests.faults.lab.stage import INTERVAL_SECONDS, NODES, Stage
from tests.processes import wait_until

#: What was on a node stays unknown for the whole fault.
_CLUSTER = {"polling": {"stale_after_seconds": 20.0}, **IMPATIENT}


def reload_in_the_middle(on: Stage) -> None:
    """Change the configuration and send SIGHUP while EMQX keeps an answer back."""
    on.broker.hold()
    wait_until(lambda: on.broker.in_flight)
    on.write_config(prometheus={"enable_keepalive": True})
    os.kill(on.agent.pid, signal.SIGHUP)
    threading.Timer(0.3, on.broker.release).start()


def has_reloaded(on: Stage) -> bool:
    """Whether the configuration has taken over, and polls have gone on with it."""
    texts = [event["message"] for event in on.agent.events]
    return sum("configuration" in text for text in texts) > 0 and len(on.good_polls) > 4


def reload_a_bad_one(on: Stage) -> None:
    on.write_config(prometheus={"enable_kepalive": True})
    os.kill(on.agent.pid, signal.SIGHUP)


def reload_a_good_one(on: Stage) -> None:
    on.write_config(prometheus={"enable_keepalive": True})
    os.kill(on.agent.pid, signal.SIGHUP)


def is_killed(on: Stage) -> None:
    on.kill_agent()
    on.notes["since"] = time.monotonic()


def is_gone_for_long(on: Stage) -> bool:
    return on.seconds_since("since") > 5 * INTERVAL_SECONDS


def kill_a_node(on: Stage) -> None:
    on.devices.silence(ELSEWHERE)
    on.cluster.kill(NODES[1])


def start_the_node(on: Stage) -> None:
    on.devices.connect(ELSEWHERE)
    on.cluster.start(NODES[1])


FAULTS = (
    Fault(
        name="a reload in the middle of a poll",
        how="SIGHUP with a changed configuration while EMQX keeps an answer back",
        begin=reload_in_the_middle,
        up=1,
        presence=Presence.GOES_ON,
        lasts=has_reloaded,
        says=("info: a new configuration is in force",),
    ),
    Fault(
        name="a reload of a bad configuration",
        how="SIGHUP with a key misspelt, later with the right one",
        begin=reload_a_bad_one,
        repair=reload_a_good_one,
        up=1,
        presence=Presence.GOES_ON,
        says=(
            "error: cannot use the configuration",
            "prometheus.enable_kepalive: is not a known key",
            "error: the configuration that was in force stays in force",
            "info: a new configuration is in force",
        ),
    ),
    Fault(
        name="the agent is killed",
        how="SIGKILL, and a new one starts with its `state.path`",
        begin=is_killed,
        repair=lambda on: on.start_agent(),
        up=None,
        presence=Presence.UNSERVED,
        lasts=is_gone_for_long,
    ),
    Fault(
        name="a node of a cluster is frozen",
        how="SIGSTOP for one of two nodes, as far as the other one and the API can tell",
        begin=lambda on: on.cluster.freeze(NODES[1]),
        repair=lambda on: on.cluster.thaw(NODES[1]),
        up=1,
        presence=Presence.PARTLY,
        settings=_CLUSTER,
        cluster=True,
        says=("does not answer", "answers again after"),
    ),
    Fault(
        name="a node of a cluster is dead",
        how="one of two nodes is killed; later it runs again and its clients reconnect",
        begin=kill_a_node,
        repair=start_the_node,
        up=1,
        presence=Presence.PARTLY,
        settings=_CLUSTER,
        cluster=True,
        says=("its clients are unknown until it", "answers again after"),
    ),
)
