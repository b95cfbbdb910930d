"""The kustomizations, built by the real kustomize and held against the real schemas."""

import copy
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from otel_emqx_monitor.version import __version__
from tests.examples.manifests import (
    environment,
    probes,
    validated_by_the_program,
)
from tests.examples.pod_security import violations
from tests.examples.tools import (
    KUSTOMIZE,
    NEWEST,
    OLDEST,
    Object,
    Refused,
    agent_of,
    check_schemas,
    kustomize,
    objects_in,
    one,
    run_tool,
)
from tests.processes import serving, settings, wait_until, write_config

WORKLOADS = {"deployment": "Deployment", "sidecar": "StatefulSet"}
each_layout = pytest.mark.parametrize("layout", WORKLOADS)


def workload(layout: str) -> Object:
    return one(kustomize(layout), WORKLOADS[layout])


def pod(layout: str) -> Object:
    spec: Object = workload(layout)["spec"]["template"]["spec"]
    return spec


def test_the_deployment_is_these_objects() -> None:
    names = sorted(f"{each['kind']}/{each['metadata']['name']}" for each in kustomize("deployment"))
    assert names == [
        "ConfigMap/otel-emqx-monitor",
        "Deployment/otel-emqx-monitor",
        "NetworkPolicy/otel-emqx-monitor",
        "PersistentVolumeClaim/otel-emqx-monitor",
        "Service/otel-emqx-monitor",
        "ServiceMonitor/otel-emqx-monitor",
    ]


def test_the_sidecar_is_these_objects() -> None:
    names = sorted(f"{each['kind']}/{each['metadata']['name']}" for each in kustomize("sidecar"))
    assert names == [
        "ConfigMap/otel-emqx-monitor",
        "NetworkPolicy/emqx",
        "PodDisruptionBudget/emqx",
        "PodMonitor/otel-emqx-monitor",
        "Service/emqx",
        "Service/emqx-headless",
        "StatefulSet/emqx",
    ]


@each_layout
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_own_schemas_take_them(layout: str, version: str) -> None:
    check_schemas(kustomize(layout), version)


@pytest.mark.parametrize(
    "kind, path, name",
    [
        ("Deployment", "spec.template.spec", "automountServiceAccountTokn"),
        ("Deployment", "spec.template.spec.containers.0.livenessProbe.httpGet", "prt"),
        ("NetworkPolicy", "spec.ingress.0.from.0.namespaceSelector", "matchLabel"),
        ("ServiceMonitor", "spec.endpoints.0", "scrapeTimout"),
    ],
)
def test_the_schemas_would_see_a_slip_of_the_pen(kind: str, path: str, name: str) -> None:
    objects = copy.deepcopy(kustomize("deployment"))
    place: Any = one(objects, kind)
    for key in path.split("."):
        place = place[int(key) if key.isdigit() else key]
    place[name] = {}
    with pytest.raises(Refused, match=f"additional properties '{name}' not allowed"):
        check_schemas(objects, NEWEST)


@each_layout
def test_pods_are_restricted(layout: str) -> None:
    assert violations(pod(layout)) == []


@each_layout
def test_the_agent_runs_as_its_image_says_and_writes_into_its_volume_alone(layout: str) -> None:
    agent = agent_of(workload(layout))
    context = {**pod(layout)["securityContext"], **agent["securityContext"]}
    assert (context["runAsUser"], context["runAsGroup"]) == (10001, 10001)
    assert context["readOnlyRootFilesystem"] is True
    writable = [each["mountPath"] for each in agent["volumeMounts"] if not each.get("readOnly")]
    assert writable == ["/var/lib/otel-emqx-monitor"]
    assert pod(layout)["automountServiceAccountToken"] is False


@each_layout
def test_the_image_is_of_this_version(layout: str) -> None:
    assert agent_of(workload(layout))["image"] == f"otel-emqx-monitor:{__version__}"


@each_layout
def test_the_program_takes_the_configuration(layout: str, tmp_path: Path) -> None:
    objects = kustomize(layout)
    agent = agent_of(workload(layout))
    config = validated_by_the_program(objects, agent, tmp_path)
    assert config.emqx.api_key.get_secret_value() == "the api-key"
    assert config.emqx.api_secret.get_secret_value() == "the api-secret"
    assert [each.client_id_glob for each in config.monitored_clients] == ["*"]


def test_agents_beside_nodes_ask_their_own_node_at_loopback(tmp_path: Path) -> None:
    statefulset = workload("sidecar")
    config = validated_by_the_program(kustomize("sidecar"), agent_of(statefulset), tmp_path)
    assert config.emqx.api_url == "http://127.0.0.1:18083/api/v5"
    assert config.emqx.node == "emqx@emqx-0.emqx-headless.mqtt.svc.cluster.local"
    [emqx] = [each for each in pod("sidecar")["containers"] if each["name"] == "emqx"]
    assert environment(emqx)["EMQX_NODE__NAME"] == config.emqx.node
    headless = one(kustomize("sidecar"), "Service", statefulset["spec"]["serviceName"])
    assert headless["spec"]["clusterIP"] == "None"
    assert headless["metadata"]["name"] == "emqx-headless"


@each_layout
def test_configuration_changes_reach_the_agent_without_a_restart(layout: str) -> None:
    configmap = one(kustomize(layout), "ConfigMap")
    assert configmap["metadata"]["name"] == "otel-emqx-monitor"  # no hash
    agent = agent_of(workload(layout))
    assert not [each for each in agent["volumeMounts"] if "subPath" in each]
    assert "--no-watch" not in agent["command"]


def test_probes_ask_what_the_program_answers() -> None:
    paths = {
        layout: {kind: path for kind, (path, _) in probes(agent_of(workload(layout))).items()}
        for layout in WORKLOADS
    }
    assert paths == {
        "deployment": {
            "startupProbe": "/healthz",
            "livenessProbe": "/healthz",
            "readinessProbe": "/readyz",
        },
        # Not ready would mean: no MQTT clients for this node.
        "sidecar": {"startupProbe": "/healthz", "livenessProbe": "/healthz"},
    }


def test_the_program_answers_the_probes_and_lives_on_when_emqx_does_not(tmp_path: Path) -> None:
    with Simulator(Broker(source=StaticFleet())) as simulator:
        config = settings(simulator.url, prometheus={"ttl_seconds": 0.1})
        config["polling"] = {"stale_after_seconds": 0.2}
        with serving("run", "--cfg", write_config(tmp_path, config)) as agent:
            asked = {path for path, _ in probes(agent_of(workload("deployment"))).values()}

            def status() -> dict[str, int]:
                answers = {path: requests.get(agent.url + path[1:], timeout=10) for path in asked}
                return {path: answer.status_code for path, answer in answers.items()}

            wait_until(lambda: status() == {"/healthz": 200, "/readyz": 200})
            simulator.stop()
            wait_until(lambda: status() == {"/healthz": 200, "/readyz": 503})


@each_layout
def test_probes_services_and_monitors_meet_at_the_port_that_the_agent_listens_on(
    layout: str, tmp_path: Path
) -> None:
    objects, agent = kustomize(layout), agent_of(workload(layout))
    listens = validated_by_the_program(objects, agent, tmp_path).prometheus.port
    assert agent["ports"] == [{"name": "metrics", "containerPort": listens}]
    assert {port for _, port in probes(agent).values()} == {"metrics"}


def test_the_service_and_its_monitor_find_the_agent() -> None:
    objects = kustomize("deployment")
    labels = workload("deployment")["spec"]["template"]["metadata"]["labels"]
    service, monitor = one(objects, "Service"), one(objects, "ServiceMonitor")
    assert service["spec"]["selector"].items() <= labels.items()
    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    [endpoint], [port] = monitor["spec"]["endpoints"], service["spec"]["ports"]
    assert endpoint["port"] == port["name"] == port["targetPort"] == "metrics"
    assert service["spec"]["publishNotReadyAddresses"] is True


def test_the_pod_monitor_finds_the_agents_and_asks_less_often_than_they_poll(
    tmp_path: Path,
) -> None:
    objects = kustomize("sidecar")
    statefulset = workload("sidecar")
    labels = statefulset["spec"]["template"]["metadata"]["labels"]
    monitor = one(objects, "PodMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    [endpoint] = monitor["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["interval"]) == ("metrics", "15s")
    config = validated_by_the_program(objects, agent_of(statefulset), tmp_path)
    assert config.prometheus.ttl_seconds == 10


@each_layout
def test_the_network_policy_is_about_the_agent_s_pod_and_lets_prometheus_in(layout: str) -> None:
    policy = one(kustomize(layout), "NetworkPolicy")["spec"]
    labels = workload(layout)["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    [scrapes] = [
        each
        for each in policy["ingress"]
        if {"protocol": "TCP", "port": "metrics"} in each["ports"]
    ]
    assert {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    } in scrapes["from"]


def test_the_network_policy_knows_every_port_of_emqx() -> None:
    policy = one(kustomize("sidecar"), "NetworkPolicy")["spec"]
    let_in = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    named = {port["name"] for each in pod("sidecar")["containers"] for port in each["ports"]}
    assert let_in == named


def test_never_two_agents_of_one_deployment() -> None:
    spec = workload("deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert "PodDisruptionBudget" not in {each["kind"] for each in kustomize("deployment")}


def test_a_drained_node_takes_one_emqx_away_at_a_time() -> None:
    budget = one(kustomize("sidecar"), "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == workload("sidecar")["spec"]["selector"]


def test_the_cumulative_deployment_keeps_its_state_in_a_claim(tmp_path: Path) -> None:
    objects = kustomize("deployment")
    config = validated_by_the_program(objects, agent_of(workload("deployment")), tmp_path)
    assert config.counters == "cumulative"
    [state] = [each for each in pod("deployment")["volumes"] if each["name"] == "state"]
    claim = one(objects, "PersistentVolumeClaim")
    assert state["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


@each_layout
def test_all_volumes_are_there(layout: str) -> None:
    spec = workload(layout)["spec"]
    volumes = {each["name"] for each in spec["template"]["spec"]["volumes"]}
    volumes |= {each["metadata"]["name"] for each in spec.get("volumeClaimTemplates", [])}
    mounted = {
        mount["name"] for each in pod(layout)["containers"] for mount in each["volumeMounts"]
    }
    assert volumes == mounted
    assert one(kustomize(layout), "ConfigMap")["metadata"]["name"] in [
        each["configMap"]["name"] for each in pod(layout)["volumes"] if "configMap" in each
    ]


@pytest.mark.parametrize("size", ["1k", "10k", "100k"])
@each_layout
def test_each_size_sets_the_agent_s_resources_and_no_others(
    layout: str, size: str, tmp_path: Path
) -> None:
    shutil.copytree(KUSTOMIZE, tmp_path / "kubernetes")
    file = tmp_path / "kubernetes" / layout / "kustomization.yaml"
    file.write_text(file.read_text().replace("../sizes/10k", f"../sizes/{size}"))
    built = objects_in(run_tool("kustomize", "build", file.parent))
    expected = copy.deepcopy(kustomize(layout))
    given = yaml.safe_load((KUSTOMIZE / "sizes" / size / "resources.yaml").read_text())
    agent_of(one(expected, WORKLOADS[layout]))["resources"] = agent_of(given)["resources"]
    assert built == expected


@pytest.mark.parametrize("document", ["README.md", "../helm/otel-emqx-monitor/README.md"])
def test_links_of_the_documents_lead_somewhere(document: str) -> None:
    file = KUSTOMIZE / document
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", file.read_text())
    assert links
    assert [link for link in links if not (file.parent / link).exists()] == []
