"""Three EMQX nodes, simulated, with agents beside each, and a real Prometheus that scrapes them.

Beside each node run two agents, as processes: one with the configuration of
``examples/kubernetes/sidecar``, and one that sums its counters up. Prometheus finds them in a file,
with the labels that the operator gives for a PodMonitor; a pod that is deleted leaves the file.
"""

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from otel_emqx_monitor.simulator import DEFAULT_KEY, DEFAULT_SECRET, Broker, Cluster, Simulator
from otel_emqx_monitor.simulator.fleet import StaticFleet
from tests.examples.tools import KUSTOMIZE
from tests.processes import Serving, serving
from tests.real.prometheus import Prometheus, prometheus

#: The pods by name, with their nodes.
PODS = {
    f"emqx-{number}": f"emqx@emqx-{number}.emqx-headless.mqtt.svc.cluster.local"
    for number in range(3)
}
#: What the agents beside each node differ in, by the name of their PodMonitor.
MONITORS: Mapping[str, Mapping[str, Any]] = {
    "live": {},
    "sums": {"counters": "cumulative"},
}
#: Prometheus scrapes and agents poll at least so many times faster than in the example.
FASTER = 10

#: Two that are watched by name, and everybody else.
_CLIENTS = [
    *({"alias": name, "client_id": name} for name in ("ghost", "three")),
    {"client_id_glob": "*"},
]


@dataclass
class Client:
    """A client that is on the node of ``pod``, or nowhere."""

    pod: str | None
    received: int = 0
    dropped: int = 0
    connected_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def row(self, name: str) -> dict[str, object]:
        """Return what EMQX has of it."""
        return {
            "clientid": name,
            "connected": True,
            "connected_at": self.connected_at.isoformat(timespec="milliseconds"),
            "created_at": self.created_at.isoformat(timespec="milliseconds"),
            "recv_msg": self.received,
            "send_msg": 0,
            "mqueue_dropped": self.dropped,
        }


class Sidecars:
    """The cluster, its clients by name, and its pods; made by ``sidecars``."""

    def __init__(self, folder: Path, ending: ExitStack) -> None:
        self.clients: dict[str, Client] = {}
        self.server: Prometheus
        self.targets = folder / "targets.json"
        self._folder = folder
        self._ending = ending
        self._fleets = {pod: StaticFleet() for pod in PODS}
        nodes = {PODS[pod]: fleet for pod, fleet in self._fleets.items()}
        self.cluster = Cluster(nodes)
        self._simulators = {
            pod: ending.enter_context(Simulator(Broker(source=self.cluster, node=node)))
            for pod, node in PODS.items()
        }
        self._agents: dict[str, dict[str, Serving]] = {}

    def put(self, name: str, pod: str | None, **more: Any) -> None:
        """Have a client connect at the node of a pod, or at none, with what else is known of it."""
        self.clients[name] = Client(pod, **more)
        self.tell()

    def tell(self) -> None:
        """Show the clients as they are now to whoever asks a node."""
        for pod, fleet in self._fleets.items():
            here = [(name, one) for name, one in self.clients.items() if one.pod == pod]
            fleet.replace([one.row(name) for name, one in here])

    def begin(self, pod: str) -> None:
        """Start the agents of a pod."""
        self._agents[pod] = {
            monitor: self._ending.enter_context(
                serving("run", "--cfg", self._configuration(pod, monitor), environ=_environ(pod))
            )
            for monitor in MONITORS
        }

    def discover(self) -> None:
        """Let Prometheus know all pods that there are."""
        found = [
            {
                "targets": [agent.url.removeprefix("http://").removesuffix("/")],
                "labels": {
                    "namespace": "mqtt",
                    "pod": pod,
                    "container": "otel-emqx-monitor",
                    "endpoint": "metrics",
                    "job": f"mqtt/{monitor}",
                },
            }
            for pod, agents in self._agents.items()
            for monitor, agent in agents.items()
        ]
        new = self.targets.with_suffix(".new")
        new.write_text(json.dumps(found))
        new.rename(self.targets)

    def die(self, pod: str) -> None:
        """End everything in a pod at once."""
        self.cluster.kill(PODS[pod])
        for agent in self._agents[pod].values():
            agent.stop(signal.SIGKILL)

    def delete(self, pod: str) -> None:
        """Let Kubernetes notice that a pod has ended: its emptyDir goes with it, a claim stays."""
        del self._agents[pod]
        (self._folder / pod / "live" / "state.db").unlink()
        self.discover()

    def _configuration(self, pod: str, monitor: str) -> str:
        config = yaml.safe_load((KUSTOMIZE / "sidecar" / "config.yaml").read_text())
        folder = self._folder / pod / monitor
        folder.mkdir(parents=True, exist_ok=True)
        for key in ("api_key_file", "api_secret_file"):
            del config["emqx"][key]
        config["emqx"] |= {
            "api_url": self._simulators[pod].url,
            "timeout_seconds": 0.5,
            "attempts": 1,
            "api_key": DEFAULT_KEY,
            "api_secret": DEFAULT_SECRET,
            "alias": monitor,
        }
        config["prometheus"] |= {
            "ttl_seconds": config["prometheus"]["ttl_seconds"] / FASTER / 2,
            "port": 0,
            "address": "127.0.0.1",
            "enable_queue_metrics": True,
        }
        config |= {
            "monitored_clients": _CLIENTS,
            "state": {"path": "state.db"},
            "polling": {"stale_after_seconds": 2},
            **MONITORS[monitor],
        }
        file = folder / "config.yaml"
        file.write_text(yaml.safe_dump(config))
        return str(file)


def _environ(pod: str) -> dict[str, str]:
    return {"EMQX_NODE": PODS[pod]}


@contextmanager
def sidecars(folder: Path) -> Iterator[Sidecars]:
    """Run all of it for the length of the block."""
    with ExitStack() as ending:
        layout = Sidecars(folder, ending)
        for pod in PODS:
            layout.begin(pod)
        layout.discover()
        found = {"files": [str(layout.targets)], "refresh_interval": "1s"}
        every = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        config = {
            "global": every,
            "scrape_configs": [{"job_name": "pods", "file_sd_configs": [found]}],
        }
        layout.server = ending.enter_context(prometheus(json.dumps(config), folder))
        yield layout
