"""The rules that the examples are held against find what is wrong."""

import copy
from typing import Any

import pytest

from tests.examples.pod_security import violations

GOOD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "one",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    ],
    "volumes": [{"name": "state", "emptyDir": {}}],
}


def test_a_restricted_pod_violates_nothing() -> None:
    assert violations(GOOD) == []


@pytest.mark.parametrize(
    "path, value, expected",
    [
        ("hostNetwork", True, "hostNetwork is set"),
        ("securityContext.sysctls", [{}], "sysctls are set"),
        ("securityContext.runAsNonRoot", None, "one may run as root"),
        ("securityContext.runAsUser", 0, "one runs as root"),
        ("securityContext.seccompProfile.type", "Unconfined", "one has no seccomp profile"),
        ("volumes.0", {"name": "host", "hostPath": {}}, "volume host is of the kind hostPath"),
        ("containers.0.securityContext.privileged", True, "one is privileged"),
        ("containers.0.securityContext.runAsNonRoot", False, "one may run as root"),
        (
            "containers.0.securityContext.allowPrivilegeEscalation",
            None,
            "one may escalate its privileges",
        ),
        ("containers.0.securityContext.capabilities", {}, "one keeps capabilities"),
        ("containers.0.securityContext.capabilities.add", ["SYS_ADMIN"], "one adds capabilities"),
        ("containers.0.securityContext.procMount", "Unmasked", "one has another procMount"),
        ("containers.0.ports", [{"hostPort": 80}], "one takes a port of the host"),
    ],
)
def test_what_the_standard_forbids_is_found(path: str, value: object, expected: str) -> None:
    pod: Any = copy.deepcopy(GOOD)
    *above, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    place = pod
    for key in above:
        place = place[key]
    place[last] = value
    assert violations(pod) == [expected]
