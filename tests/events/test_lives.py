"""What really happened to scripted clients, and what the whole agent says of it."""

import signal
import time
from pathlib import Path

from otel_emqx_monitor.simulator import Broker, Script, Simulator, Webhook
from tests.events.lives import config_file, crowd, expected, exposed, settings, sink, tell
from tests.processes import serving, wait_until


def test_thousands_of_short_sessions_are_counted_exactly_by_both_readers(tmp_path: Path) -> None:
    script = Script()
    begin = time.time() - 60
    crowd(script, begin, sessions=3000, per_second=480, clients=1000)
    clock = [begin - 1]
    broker = Broker(source=script, clock=lambda: clock[0])
    with (
        Simulator(broker) as simulator,
        sink() as (pushed, otlp),
        Webhook(script, broker.integration) as webhook,
    ):
        config = settings(simulator.url, otlp=otlp)
        with serving("run", "--cfg", config_file(tmp_path, config)) as agent:
            tell(config, agent.url)
            agent.scrape()
            webhook.run_to(script.end)
            clock[0] = script.end + 60
            truth = script.truth()
            wait_until(lambda: exposed(agent.scrape()) == expected(truth))
            exposition = agent.scrape()
            assert agent.stop(signal.SIGTERM) == 0
    total = script.total()
    assert (total.connections, total.received.total()) == (3001, 9000)
    assert (webhook.posted, webhook.refused, webhook.expired) == (webhook.posted, 0, 0)
    assert exposed(exposition) == expected(truth) == pushed.figures
    events = exposition.by("events_total", "event")
    assert sum(events.values()) == webhook.posted
    assert events["publish"] == 9000
    assert sum(exposition.by("corrections_total", "kind").values()) == 0
    assert exposition.by("events_up", "source") == {"webhook": 1}
    assert exposition.by("clients", "state")["connected"] == 1
