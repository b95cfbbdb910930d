"""The chart, rendered by the real helm, held against the real schemas and the kustomization."""

import copy
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_emqx_monitor.version import __version__
from tests.examples.chart_schema import config_schema
from tests.examples.manifests import probes, validated_by_the_program
from tests.examples.pod_security import violations
from tests.examples.rules import load
from tests.examples.tools import (
    CHART,
    KUSTOMIZE,
    NEWEST,
    OLDEST,
    Object,
    Refused,
    agent_of,
    check_schemas,
    helm_template,
    kustomize,
    objects_in,
    one,
    run_tool,
)
from tests.examples.values_file import read_values, shown
from tests.test_docs import table

ALL_ON = [
    *("--set", "serviceMonitor.enabled=true"),
    *("--set", "networkPolicy.enabled=true"),
    *("--set", "podDisruptionBudget.enabled=true"),
]

#: A value for every key that is empty by default.
FULL: dict[str, Any] = {
    "config": {
        "emqx": {"api_url": "https://emqx:18084", "alias": "other"},
        "monitored_clients": [{"client_id_regex": "(?P<room>[a-z]+)-<&>", "alias": "{room}"}],
        "max_clients": 1_000_000,
        "prometheus": {"port": 9999, "enable_dates": True},
    },
    "secret": {"name": "given", "apiKey": "key", "apiSecret": '"quoted": #secret'},
    "image": {"repository": "registry.example/agent", "digest": f"sha256:{'0a' * 32}"},
    "fullnameOverride": "agent",
    "logLevel": "warning",
    "logFormat": "text",
    "env": [{"name": "HOST", "value": "here"}],
    "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "volumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}],
    "persistence": {"storageClass": "fast", "size": "2Gi", "annotations": {"e": "f"}},
    "service": {"port": 80, "annotations": {"a": "b"}},
    "serviceMonitor": {
        "enabled": True,
        "labels": {"release": "prometheus"},
        "sampleLimit": 5_000_000,
        "scheme": "https",
        "tlsConfig": {"insecureSkipVerify": True},
        "basicAuth": {"username": {"name": "web", "key": "user"}},
        "relabelings": [{"action": "labeldrop", "regex": "pod"}],
        "metricRelabelings": [{"action": "drop", "sourceLabels": ["alias"], "regex": "x"}],
    },
    "networkPolicy": {"enabled": True, "from": [{"podSelector": {}}], "egress": []},
    "podDisruptionBudget": {"enabled": True},
    "podLabels": {"team": "mqtt"},
    "podAnnotations": {"c": "d"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "x", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
}


@pytest.fixture
def full(tmp_path: Path) -> list[Object]:
    file = tmp_path / "full.yaml"
    file.write_text(yaml.safe_dump(FULL))
    return helm_template("--values", str(file))


def pod_of(objects: list[Object]) -> Object:
    spec: Object = one(objects, "Deployment")["spec"]["template"]["spec"]
    return spec


def test_helm_finds_no_fault() -> None:
    assert "0 chart(s) failed" in run_tool("helm", "lint", "--strict", CHART)


def test_by_default_it_is_an_agent_with_its_state() -> None:
    assert sorted(each["kind"] for each in helm_template()) == [
        *("ConfigMap", "Deployment", "PersistentVolumeClaim", "Service"),
    ]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize(
    "options",
    [
        [],
        ALL_ON,
        ["--set", "persistence.enabled=false"],
        *(["--values", str(CHART.parent / "values" / f"{size}.yaml")] for size in ("1k", "100k")),
    ],
    ids=["default", "all on", "no claim", "1k", "100k"],
)
def test_kubernetes_own_schemas_take_it(options: list[str], version: str) -> None:
    check_schemas(helm_template(*options), version)


def test_kubernetes_own_schemas_take_every_value(full: list[Object]) -> None:
    check_schemas(full, NEWEST)


def test_every_value_stands_in_the_objects(full: list[Object]) -> None:
    pod, agent = pod_of(full), agent_of(one(full, "Deployment"))
    assert {each["metadata"]["name"] for each in full} == {"agent", "given"}
    assert agent["image"] == f"registry.example/agent@sha256:{'0a' * 32}"
    assert agent["command"][3:] == ["--log-format=text", "--log-level=warning"]
    assert agent["env"] == [{"name": "HOST", "value": "here"}]
    assert {"name": "ca", "mountPath": "/etc/ca"} in agent["volumeMounts"]
    assert {"name": "ca", "configMap": {"name": "ca"}} in pod["volumes"]
    assert agent["ports"] == [{"name": "metrics", "containerPort": 9999}]
    assert agent["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"
    assert one(full, "Secret")["stringData"] == {
        "api-key": "key",
        "api-secret": '"quoted": #secret',
    }
    assert [each["secret"] for each in pod["volumes"] if "secret" in each] == [
        {"secretName": "given", "defaultMode": 0o440}
    ]
    assert one(full, "PersistentVolumeClaim")["metadata"]["annotations"] == {"e": "f"}
    claim = one(full, "PersistentVolumeClaim")["spec"]
    assert (claim["storageClassName"], claim["resources"]) == (
        "fast",
        {"requests": {"storage": "2Gi"}},
    )
    service = one(full, "Service")
    assert service["metadata"]["annotations"] == {"a": "b"}
    assert service["spec"]["ports"] == [{"name": "metrics", "port": 80, "targetPort": "metrics"}]
    monitor = one(full, "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["sampleLimit"] == 5_000_000
    assert monitor["spec"]["endpoints"] == [
        {
            **{key: FULL["serviceMonitor"][key] for key in ("scheme", "tlsConfig", "basicAuth")},
            **{key: FULL["serviceMonitor"][key] for key in ("relabelings", "metricRelabelings")},
            "port": "metrics",
            "interval": "15s",
            "scrapeTimeout": "10s",
        }
    ]
    policy = one(full, "NetworkPolicy")["spec"]
    assert policy["ingress"][0]["from"] == [{"podSelector": {}}]
    assert policy["egress"] == []
    assert one(full, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 0
    template = one(full, "Deployment")["spec"]["template"]
    assert template["metadata"]["labels"]["team"] == "mqtt"
    assert template["metadata"]["annotations"] == {"c": "d"}
    given = ("nodeSelector", "tolerations", "affinity", "priorityClassName")
    assert {key: pod[key] for key in given} == {key: FULL[key] for key in given}


def test_the_configuration_arrives_as_it_was_given(full: list[Object], tmp_path: Path) -> None:
    text = one(full, "ConfigMap")["data"]["config.yaml"]
    assert "1000000" in text  # helm has all numbers as floating ones; 1e+06 would be a text
    arrived = yaml.safe_load(text)
    assert arrived["monitored_clients"] == FULL["config"]["monitored_clients"]
    config = validated_by_the_program(full, agent_of(one(full, "Deployment")), tmp_path)
    assert config.max_clients == 1_000_000
    assert config.emqx.alias == "other"


@pytest.mark.parametrize("options", [[], ["--set", "config.counters=live"]])
def test_the_program_takes_the_configuration(options: list[str], tmp_path: Path) -> None:
    objects = helm_template(*options)
    config = validated_by_the_program(objects, agent_of(one(objects, "Deployment")), tmp_path)
    assert config.counters == ("live" if options else "cumulative")


def test_pods_are_restricted() -> None:
    assert violations(pod_of(helm_template())) == []


def test_probes_ask_what_the_program_answers() -> None:
    assert probes(agent_of(one(helm_template(), "Deployment"))) == {
        "startupProbe": ("/healthz", "metrics"),
        "livenessProbe": ("/healthz", "metrics"),
        "readinessProbe": ("/readyz", "metrics"),
    }


@pytest.mark.parametrize(
    "name, expected",
    [
        ("otel-emqx-monitor", "otel-emqx-monitor"),
        ("prod-otel-emqx-monitor", "prod-otel-emqx-monitor"),
        ("prod", "prod-otel-emqx-monitor"),
    ],
)
def test_objects_bear_the_release_s_name(name: str, expected: str) -> None:
    objects = helm_template(*ALL_ON, name=name)
    assert {each["metadata"]["name"] for each in objects} == {expected}
    selector = one(objects, "Deployment")["spec"]["selector"]["matchLabels"]
    assert selector["app.kubernetes.io/instance"] == name
    assert one(objects, "Service")["spec"]["selector"] == selector
    assert one(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == selector


@pytest.mark.parametrize(
    "name, options",
    [
        ("123", []),
        ("true", []),
        ("0x1f", ["--set-string", "nameOverride=42"]),
        ("x", ["--set-string", "fullnameOverride=null", "--set-string", "priorityClassName=1"]),
        ("x", ["--set-string", "persistence.storageClass=1,image.pullSecrets={2}"]),
        ("a" * 53, ["--set-string", f"nameOverride={'b' * 63}"]),
    ],
    ids=["a number", "a boolean", "hexadecimal", "null", "other names", "long"],
)
def test_names_that_yaml_takes_for_something_else_stay_texts(name: str, options: list[str]) -> None:
    objects = helm_template(*ALL_ON, *options, name=name)
    check_schemas(objects, NEWEST)
    [shared] = {each["metadata"]["name"] for each in objects}
    assert len(shared) <= 63
    labels = one(objects, "Deployment")["spec"]["selector"]["matchLabels"]
    assert labels["app.kubernetes.io/instance"] == name


def test_the_job_is_known_to_the_alerts_whatever_the_objects_are_called() -> None:
    options = [*ALL_ON, "--set", "fullnameOverride=agent"]
    objects = helm_template(*options)
    label = one(objects, "ServiceMonitor")["spec"]["jobLabel"]
    job = one(objects, "Service")["metadata"]["labels"][label]
    [down] = [rule for rule in load() if rule.name == "EmqxMonitorAgentDown"]
    [(_, pattern)] = down.selectors[0].matchers
    assert re.fullmatch(pattern, job)


def test_a_claim_that_exists_is_taken_and_none_made() -> None:
    objects = helm_template("--set", "persistence.existingClaim=mine")
    assert "PersistentVolumeClaim" not in {each["kind"] for each in objects}
    assert {"name": "state", "persistentVolumeClaim": {"claimName": "mine"}} in pod_of(objects)[
        "volumes"
    ]


def test_without_persistence_the_state_goes_with_the_pod() -> None:
    objects = helm_template("--set", "persistence.enabled=false")
    assert "PersistentVolumeClaim" not in {each["kind"] for each in objects}
    assert {"name": "state", "emptyDir": {}} in pod_of(objects)["volumes"]


@pytest.mark.parametrize(
    "option, complaint",
    [
        ("image.tga=1", "at '/image': additional properties 'tga' not allowed"),
        ("replicaCount=2", "additional properties 'replicaCount' not allowed"),
        ("logLevel=loud", "at '/logLevel': value must be one of"),
        ("image.digest=latest", "at '/image/digest'"),
        ("image.repository=", "at '/image/repository': minLength"),
        ("secret.apiKey=key", "at '/secret/apiSecret': minLength"),
        ("secret.apiSecret=secret", "at '/secret/apiSecret'"),
        ("fullnameOverride=My_Agent", "at '/fullnameOverride'"),
        ("nameOverride=-x", "at '/nameOverride'"),
        ("podLabels.app\\.kubernetes\\.io/name=x", "invalid propertyName 'app.kubernetes.io/name'"),
        ("service.port=70000", "at '/service/port': maximum"),
        ("persistence.size=big", "at '/persistence/size'"),
        ("serviceMonitor.interval=15", "at '/serviceMonitor/interval'"),
        (
            "config.emqx.api_urll=x",
            "at '/config/emqx': additional properties 'api_urll' not allowed",
        ),
        ("config.emqx.api_url=", "at '/config/emqx/api_url': minLength"),
        ("config.emqx=null", "at '/config': missing property 'emqx'"),
        ("config.monitored_clients[0].id=x", "additional properties 'id' not allowed"),
        (
            "config.prometheus.port=metrics",
            "at '/config/prometheus/port': got string, want integer",
        ),
        ("config.polling=15", "at '/config/polling': got number, want object"),
    ],
)
def test_wrong_values_are_refused_with_their_place(option: str, complaint: str) -> None:
    with pytest.raises(Refused) as refused:
        helm_template("--set", option)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    "option",
    [
        "config.monitored_clients=${env:CLIENTS}",
        "config.otlp=${env:OTLP}",
        "config.prometheus.ttl_seconds=${env:TTL}",
    ],
)
def test_what_the_environment_gives_is_left_to_the_agent(option: str) -> None:
    key, _, value = option.partition("=")
    text = one(helm_template("--set", option), "ConfigMap")["data"]["config.yaml"]
    assert value in text, key


def normalised(given: Object) -> Object:
    """Return an object of the chart without the two differences that are allowed.

    Labels that only Helm sets; and ``imagePullPolicy``, which the chart says although it is
    Kubernetes' default for a tag other than ``latest``.
    """
    object_ = copy.deepcopy(given)
    labels = object_["metadata"]["labels"]
    assert labels.pop("app.kubernetes.io/managed-by") == "Helm"
    assert labels.pop("app.kubernetes.io/version") == __version__
    assert labels.pop("helm.sh/chart") == f"otel-emqx-monitor-{__version__}"
    if object_["kind"] == "Deployment":
        assert agent_of(object_).pop("imagePullPolicy") == "IfNotPresent"
    return with_read_configuration(object_)


def with_read_configuration(given: Object) -> Object:
    """Return a ConfigMap with its configuration read: JSON here, YAML with comments there."""
    object_ = copy.deepcopy(given)
    if object_["kind"] == "ConfigMap":
        object_["data"]["config.yaml"] = yaml.safe_load(object_["data"]["config.yaml"])
    return object_


def test_it_is_the_same_as_the_kustomization() -> None:
    options = ["--set", "serviceMonitor.enabled=true", "--set", "networkPolicy.enabled=true"]
    charted = {each["kind"]: normalised(each) for each in helm_template(*options)}
    kustomized = {each["kind"]: with_read_configuration(each) for each in kustomize("deployment")}
    assert charted == kustomized


@pytest.mark.parametrize("size", ["1k", "10k", "100k"])
def test_the_sizes_are_those_of_the_kustomizations(size: str) -> None:
    file = CHART.parent / "values" / f"{size}.yaml"
    component = yaml.safe_load((KUSTOMIZE / "sizes" / size / "resources.yaml").read_text())
    objects = helm_template("--values", str(file))
    assert agent_of(one(objects, "Deployment"))["resources"] == agent_of(component)["resources"]


_NOTES = """
kind: ConfigMap
notes: {{ tpl (.Files.Get "copy.txt") . | quote }}
"""


def notes(folder: Path, *options: str) -> str:
    """Return what an installation as ``prod`` would tell; helm itself needs a cluster for that."""
    chart = folder / "chart"
    shutil.copytree(CHART, chart)
    (chart / "templates" / "NOTES.txt").rename(chart / "copy.txt")
    (chart / "templates" / "notes.yaml").write_text(_NOTES)
    command = ["template", "prod", str(chart), "--namespace", "mqtt", "-s", "templates/notes.yaml"]
    [found] = objects_in(run_tool("helm", *command, *options))
    return str(found["notes"])


def test_the_notes_say_which_secret_is_missing(tmp_path: Path) -> None:
    told = notes(tmp_path)
    assert "the clients of production at http://emqx:18083." in told
    assert "kubectl -n mqtt create secret generic prod-otel-emqx-monitor" in told
    assert "scrapes prod-otel-emqx-monitor.mqtt.svc:9671/metrics." in told


def test_the_notes_say_nothing_of_a_secret_that_was_given(tmp_path: Path) -> None:
    told = notes(tmp_path, "--set", "secret.apiKey=k", "--set", "secret.apiSecret=s", *ALL_ON)
    assert "create secret" not in told
    assert "finds it by the ServiceMonitor prod-otel-emqx-monitor." in told


def test_chart_and_image_are_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    assert (
        agent_of(one(helm_template(), "Deployment"))["image"] == f"otel-emqx-monitor:{__version__}"
    )
    assert chart["kubeVersion"] == f">={OLDEST}-0"


def test_the_schema_knows_the_agent_s_keys_and_no_others() -> None:
    file = CHART / "values.schema.json"
    schema = json.loads(file.read_text())
    expected = {**config_schema(), "required": ["emqx"]}
    if os.environ.get("UPDATE_DOCS") == "1":
        schema["properties"]["config"] = expected
        file.write_text(json.dumps(schema, indent=2) + "\n")
    assert schema["properties"]["config"] == expected


def test_the_schema_and_the_values_have_the_same_keys() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert schema.keys() == {*values, "global"}
    for name, part in schema.items():
        if part.get("additionalProperties") is False and name not in ("config", "resources"):
            assert part["properties"].keys() == values[name].keys()


def test_every_value_has_its_meaning_above_it() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    explained = {value.path for value in read_values(CHART / "values.yaml")}
    one_by_one = [
        *("secret", "image", "persistence", "service", "serviceMonitor", "networkPolicy"),
        "podDisruptionBudget",
    ]
    wanted = {*values} | {f"{name}.{key}" for name in one_by_one for key in values[name]}
    assert wanted - explained == set()


def test_the_readme_s_table_is_that_of_the_values() -> None:
    rows = [
        [f"`{value.path}`", shown(value.default), value.meaning]
        for value in read_values(CHART / "values.yaml")
    ]
    expected = table(["value", "default", "meaning"], rows)
    readme = CHART / "README.md"
    before, rest = readme.read_text().split("<!-- values: begin -->\n")
    written, after = rest.split("<!-- values: end -->")
    if os.environ.get("UPDATE_DOCS") == "1":
        written = f"{expected}\n"
        readme.write_text(f"{before}<!-- values: begin -->\n{written}<!-- values: end -->{after}")
    assert written.splitlines() == expected.splitlines()
