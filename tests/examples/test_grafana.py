"""The dashboards of examples/grafana, asked of a real Prometheus; see ``stage``."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_emqx_monitor.instruments import METRICS
from otel_emqx_monitor.simulator import Cluster, Login, StaticFleet, Webhook
from otel_emqx_monitor.simulator.emission import Connection, Emission
from tests.examples.asking import (
    ALL,
    Json,
    Question,
    Span,
    answer,
    interpolated,
    options,
    questions,
    untouched,
    variables,
)
from tests.examples.stage import BROKER, PUSHED, SCRAPED, Stage, stage
from tests.odd_ids import ODD_IDS

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "examples" / "grafana"
DASHBOARDS: dict[str, Json] = {
    file.stem: json.loads(file.read_text(encoding="utf-8"))
    for file in sorted(GRAFANA.glob("dashboards/*.json"))
}
QUESTIONS = [one for dashboard in DASHBOARDS.values() for one in questions(dashboard)]

NODE = "emqx@127.0.0.1"
#: The clients of this node are unknown from some moment on, as it hangs; the first one is restless.
LOST_NODE = "emqx2@127.0.0.1"
LOST = ["lost-1", "lost-2"]
UNKNOWN = -1
#: Comes and goes all the time. The odd ones have traffic, drops and a queue.
RESTLESS = 'restless, "quoted"}\n1'
NEVER_SEEN = "never seen"

QOS = ("", ".qos0", ".qos1", ".qos2")
GONE = {"connected": False, "disconnected_at": "2026-11-20T10:00:01+00:00"}

CLIENTS: list[dict[str, Any]] = [
    {"alias": "Ghost", "client_id": NEVER_SEEN, "expected_every_seconds": 0.5},
    *(
        {"alias": f"#{number}", "client_id": one, "expected_every_seconds": 3600}
        for number, one in enumerate(ODD_IDS)
    ),
    {"alias": "Lost {client_id}", "client_id_glob": "lost-*"},
    {"client_id_glob": "*"},
]

#: Panels that are empty through a Collector: Prometheus and its client library tell of what is
#: scraped, and of nothing else.
ONLY_SCRAPED = {"CPU", "Memory", "Open files", "Scrapes", "Samples in a scrape", "Scraped"}
#: The client that makes panels tell what they do not tell of the odd clients: those are connected.
OF_OTHERS = {"Last disconnected": [RESTLESS]}


def rows(step: int, *, restless: bool) -> list[Json]:
    """Return the rows of the node that answers; counters grow with ``step``."""
    counted = {
        **{f"{way}_msg{qos}": 10 * step for way in ("recv", "send") for qos in QOS},
        **{f"{way}_{unit}": 20 * step for way in ("recv", "send") for unit in ("oct", "pkt")},
        **{f"{way}_msg.dropped": step for way in ("recv", "send")},
        "recv_msg.dropped.await_pubrel_timeout": step,
        "send_msg.dropped.expired": 0,
        "send_msg.dropped.queue_full": step,
        "send_msg.dropped.too_large": 0,
        "mqueue_len": 3,
        "mqueue_dropped": step,
        "awaiting_rel_cnt": 1,
        "inflight_cnt": 2,
    }
    odd = [row(one) | counted for one in ODD_IDS]
    return [*odd, row(RESTLESS) | ({} if restless else GONE)]


def row(client_id: str) -> Json:
    return {
        "clientid": client_id,
        "username": 'Ann "the" User',
        "connected": True,
        "connected_at": "2026-11-20T10:00:00+00:00",
        "created_at": "2026-11-20T10:00:00+00:00",
        "keepalive": 60,
        "proto_ver": 5,
        "clean_start": True,
        "expiry_interval": 0,
        "subscriptions_cnt": 1,
    }


class Ends:
    """The events of the odd clients: each connection ends and begins again, once."""

    def __init__(self, node: str) -> None:
        now = int(time.time() * 1000)
        connections = [Connection(Login(client_id=one), node, 4711, now) for one in ODD_IDS]
        self._told = [
            event
            for one in connections
            for event in (one.disconnected(now, "keepalive_timeout"), one.connected())
        ]

    def take(self, now: float) -> list[Emission]:
        told, self._told = [one for one in self._told if one.at_ms <= now * 1000], []
        return told


def lost(*, restless: bool) -> list[Json]:
    return [row("lost-1") | ({} if restless else GONE), row("lost-2")]


def live(
    fleet: StaticFleet, others: StaticFleet, rest: threading.Event, stop: threading.Event
) -> None:
    """Let counters grow, and one client of each node come and go; from ``rest`` on it is gone."""
    step = 0
    while not stop.wait(1.5):
        step += 1
        fleet.replace(rows(step, restless=step % 2 == 0 and not rest.is_set()))
        others.replace(lost(restless=step % 2 == 1))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A cluster in which everything has happened that the dashboards tell of."""
    fleet, others = StaticFleet(rows(0, restless=True)), StaticFleet(lost(restless=False))
    rest, stop = threading.Event(), threading.Event()
    cluster = Cluster({NODE: fleet, LOST_NODE: others})
    living = threading.Thread(target=live, args=(fleet, others, rest, stop))
    with stage(cluster, CLIENTS, tmp_path_factory.mktemp("stage"), pace=1, stale=600) as running:
        living.start()
        try:
            play(running, cluster)
            rest.set()
            who = f"client_id=`{RESTLESS}`"
            wait(running, f"max_over_time(emqx_client_monitor_connected{{{who},JOB}}[3s]) == 0")
            yield running
        finally:
            stop.set()
            living.join()


def play(running: Stage, cluster: Cluster) -> None:
    broker, simulator = running.broker, running.simulator
    everybody = len(ODD_IDS) + len(LOST) + 2
    changes = f'changes(emqx_client_monitor_connected{{client_id="{LOST[0]}",JOB}}[1m]) > 1'
    wait(running, f"sum(emqx_client_monitor_clients{{JOB}}) == {everybody}")
    wait(running, changes)
    with Webhook(Ends(broker.name), broker.integration) as webhook:
        webhook.run_to(time.time())
    simulator.stop()
    wait(running, "emqx_client_monitor_up{JOB} == 0")
    simulator.start()
    wait(running, "emqx_client_monitor_up{JOB} == 1")
    cluster.freeze(LOST_NODE)
    wait(running, 'emqx_client_monitor_clients{JOB,state="unknown"} == 2')
    wait(running, f'absent(emqx_client_monitor_connected{{client_id="{LOST[0]}",JOB}})')
    wait(running, "increase(emqx_client_monitor_poll_errors_total{JOB}[2m]) > 0")
    wait(running, "increase(emqx_client_monitor_bytes_total{JOB}[2m]) > 0")
    wait(running, "increase(emqx_client_monitor_disconnections_total{JOB}[2m]) >= 0")


def wait(running: Stage, promql: str) -> None:
    """Wait until ``promql`` gives something for each way that the series come."""
    for job in (SCRAPED, PUSHED):
        running.server.wait_for(promql.replace("JOB", f'job="{job}"'), bool)


def now() -> Span:
    return Span(end=time.time(), seconds=300, step=1)


def choices_for(dashboard: Json, job: str, **more: Sequence[str]) -> Mapping[str, Sequence[str]]:
    return {**untouched(dashboard), "job": [job], "client_id": ODD_IDS, **more}


@pytest.mark.real("prometheus")
@pytest.mark.parametrize("job", [SCRAPED, PUSHED])
@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_every_query_has_an_answer(played: Stage, question: Question, job: str) -> None:
    dashboard = DASHBOARDS[question.dashboard]
    who = OF_OTHERS.get(question.panel, ODD_IDS)
    choices = choices_for(dashboard, job, client_id=who)
    series = answer(played.server, dashboard, question, choices, now())
    is_empty = job == PUSHED and question.panel in ONLY_SCRAPED
    assert bool(series) is not is_empty


@pytest.mark.real("prometheus")
@pytest.mark.parametrize("job", [SCRAPED, PUSHED])
def test_the_lists_offer_what_there_is(played: Stage, job: str) -> None:
    def offered(name: str, **more: Sequence[str]) -> list[str]:
        dashboard = DASHBOARDS["client" if name == "client_id" else "fleet"]
        choices = choices_for(dashboard, job, **more)
        found: list[str] = options(played.server, dashboard, name, choices, now())
        return found

    assert set(offered("job")) == {SCRAPED, PUSHED}
    assert offered("broker") == [BROKER]
    assert set(offered("node")) == {NODE, LOST_NODE}
    assert set(offered("client_id")) >= {*ODD_IDS, RESTLESS, NEVER_SEEN}
    assert offered("client_id", search=["RESTL"]) == [RESTLESS]
    assert offered("client_id", search=['{a="b"} 1']) == ['{a="b"} 1 # EOF']
    assert offered("client_id", alias=["ghost"]) == [NEVER_SEEN]
    assert offered("client_id", alias=[".*"]) == []


@pytest.mark.real("prometheus")
@pytest.mark.parametrize("client_id", ODD_IDS, ids=range(len(ODD_IDS)))
def test_a_client_with_an_odd_id_can_be_chosen_alone(played: Stage, client_id: str) -> None:
    series = asked(played, "client", "Presence now", client_id=[client_id])
    assert [one["metric"]["client_id"] for one in series] == [client_id]


@pytest.mark.real("prometheus")
@pytest.mark.parametrize("job", [SCRAPED, PUSHED])
@pytest.mark.parametrize(
    "dashboard, panel",
    [("client", "Presence"), ("fleet", "The 20 clients that came and went most")],
)
def test_unknown_is_told_from_away(played: Stage, dashboard: str, panel: str, job: str) -> None:
    series = asked(played, dashboard, panel, job=[job], client_id=[LOST[0], RESTLESS])
    states = {
        one["metric"]["client_id"]: [int(value) for _, value in one["values"]] for one in series
    }
    assert states.keys() == {LOST[0], RESTLESS}
    assert states[LOST[0]][-1] == UNKNOWN
    assert {0, 1, UNKNOWN} == set(states[LOST[0]])
    assert UNKNOWN not in states[RESTLESS][-3:]


@pytest.mark.real("prometheus")
def test_a_client_that_two_agents_tell_of_is_one_client(played: Stage) -> None:
    series = asked(played, "client", "Presence now", job=ALL, client_id=[RESTLESS])
    assert len(series) == 1


@pytest.mark.real("promtool")
@pytest.mark.parametrize("name", ["fleet", "client"])
def test_a_client_that_one_of_two_agents_has_seen_is_not_overdue(name: str, tmp_path: Path) -> None:
    dashboard = DASHBOARDS[name]
    question = next(one for one in questions(dashboard) if one.panel == "Overdue")
    chosen = {**untouched(dashboard), "client_id": ["b-1"]}
    client = 'broker="b",alias="Boiler",client_id="b-1"'
    series = "emqx_client_monitor_overdue"
    test = {
        "interval": "1m",
        "input_series": [
            {"series": f'{series}{{job="j",instance="here",{client}}}', "values": "0"},
            {"series": f'{series}{{job="j",instance="there",{client}}}', "values": "1"},
        ],
        "promql_expr_test": [
            {
                "expr": interpolated(question.expr, dashboard, chosen, now()),
                "exp_samples": [{"labels": f"{{{client}}}" if name == "client" else "{}"}],
            }
        ],
    }
    file = tmp_path / "tests.yaml"
    file.write_text(yaml.safe_dump({"tests": [test]}))
    ended = subprocess.run(
        ["promtool", "test", "rules", file],  # noqa: S607 (wherever it is)
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.real("prometheus")
def test_of_the_clients_found_only_those_of_the_node_chosen_are_shown(played: Stage) -> None:
    def busiest(**more: Sequence[str]) -> set[str]:
        series = asked(played, "fleet", "Longest queues", **more)
        return {one["metric"]["client_id"] for one in series}

    assert len(busiest()) == 10
    assert busiest(node=[NODE], search=["温度"]) == {"größe/温度/🌡️\u2028\ufeff"}
    assert busiest(node=[LOST_NODE], search=["温度"]) == set()


def asked(played: Stage, dashboard: str, panel: str, **choices: Sequence[str]) -> list[Any]:
    """Return the series of the first query of a panel."""
    made = DASHBOARDS[dashboard]
    question = next(one for one in questions(made) if one.panel == panel)
    chosen = {**choices_for(made, SCRAPED), **choices}
    found: list[Any] = answer(played.server, made, question, chosen, now())
    return found


def test_the_files_are_what_the_code_makes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dashboards", "--to", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": "scripts"}, check=True)
    made = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    kept = {file.name: file.read_text("utf-8") for file in GRAFANA.glob("dashboards/*")}
    assert kept == made, "scripts/dashboard writes them"


@pytest.mark.real("go")
def test_grafana_knows_every_field(tmp_path: Path) -> None:
    folder = Path(__file__).parent / "grafana_types"
    subprocess.run(["go", "build", "-o", tmp_path / "check", "."], cwd=folder, check=True)  # noqa: S607
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(DASHBOARDS["fleet"]).replace('"graphMode"', '"graphMood"'))
    files = GRAFANA.glob("dashboards/*.json")
    assert complaints(tmp_path / "check", *files) == ""
    assert "unexpected field 'graphMood'" in complaints(tmp_path / "check", bad)


def complaints(program: Path, *files: Path) -> str:
    return subprocess.run(
        [program, *files], capture_output=True, encoding="utf-8", check=True
    ).stdout


def names_in(text: str) -> set[str]:
    return set(re.findall(r"emqx_client_monitor_[a-z_]*[a-z]", text))


def test_every_metric_of_the_agent_is_shown_and_no_other() -> None:
    used = {name for one in QUESTIONS for name in names_in(one.expr)}
    assert used == {metric.exposition_name for metric in METRICS}


def test_variables_ask_for_metrics_that_are_always_on() -> None:
    always = {metric.exposition_name for metric in METRICS if metric.flag is None}
    for dashboard in DASHBOARDS.values():
        for one in variables(dashboard).values():
            if one["type"] == "query":
                assert names_in(one["definition"]) <= always
                assert one["query"]["query"] == one["definition"]


def panels(dashboard: Json) -> list[Json]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_says_what_it_tells(name: str) -> None:
    titles = [panel["title"] for panel in panels(DASHBOARDS[name])]
    assert len(titles) == len(set(titles))
    for panel in panels(DASHBOARDS[name]):
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_places_of_their_own(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARDS[name]["panels"]:
        place = panel["gridPos"]
        across = range(place["x"], place["x"] + place["w"])
        cells = {(x, place["y"] + y) for x in across for y in range(place["h"])}
        assert max(across) < 24
        assert not cells & taken
        taken |= cells


def test_links_lead_to_the_dashboard_of_one_client() -> None:
    whole = json.dumps(DASHBOARDS["fleet"])
    targets = set(re.findall(r"/d/([\w-]+)\?", whole))
    assert targets == {DASHBOARDS["client"]["uid"]}
    linked = [*re.findall(r"[?&]var-(\w+)=", whole), *re.findall(r"\$\{(\w+):queryparam\}", whole)]
    assert set(linked) == {"client_id", "datasource", "job", "broker"}
    assert set(linked) - {"datasource"} <= variables(DASHBOARDS["client"]).keys()


def test_each_dashboard_links_to_the_others() -> None:
    for dashboard in DASHBOARDS.values():
        [link] = dashboard["links"]
        assert set(link["tags"]) <= set(dashboard["tags"])


def test_the_provisioning_names_the_data_source_and_the_folder() -> None:
    files = {file.name: yaml.safe_load(file.read_text()) for file in GRAFANA.rglob("*.yaml")}
    [source] = files["prometheus.yaml"]["datasources"]
    [provider] = files["otel-emqx-monitor.yaml"]["providers"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    assert (provider["type"], provider["options"]["path"]) == (
        "file",
        "/var/lib/grafana/dashboards/otel-emqx-monitor",
    )
