"""What the program is made of: the lock, the licences, the audit, the bill of materials."""

import importlib.metadata
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from auditing.licences import findings, licence, needed
from auditing.locked import LOCK, Package, locked
from auditing.vulnerabilities import judge
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def require_module(name: str) -> None:
    """Skip where the extra `audit` is not installed; with REQUIRE_REAL=1 (CI) fail instead."""
    if importlib.util.find_spec(name) is None:
        lacking = f"{name} is not installed; run: scripts/environment test audit"
        if os.environ.get("REQUIRE_REAL") == "1":
            pytest.fail(lacking, pytrace=False)
        pytest.skip(lacking)


@pytest.fixture(scope="module")
def packages() -> dict[str, Package]:
    return {one.name: one for one in locked(LOCK.read_text("utf-8"))}


def direct() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [Requirement(line) for line in project["dependencies"]]


def test_the_lock_has_every_dependency_within_its_bounds(packages: dict[str, Package]) -> None:
    for wanted in direct():
        package = packages[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(package.version), f"{wanted}: run scripts/lock"


def test_the_lock_has_no_dependency_that_is_none_any_more(packages: dict[str, Package]) -> None:
    wanted = {canonicalize_name(one.name) for one in direct()}
    assert {name for name, one in packages.items() if "otel-emqx-monitor" in one.via} == wanted
    assert {other for one in packages.values() for other in one.via} <= {
        *packages,
        "otel-emqx-monitor",
    }


def test_the_comparison_counts_the_packages(packages: dict[str, Package]) -> None:
    page = (ROOT / "docs" / "comparison.md").read_text()
    assert f"More packages are installed: {len(packages)} with all" in page


def test_every_package_of_the_lock_has_hashes(packages: dict[str, Package]) -> None:
    assert [name for name, one in packages.items() if not one.hashes] == []


def test_the_lock_names_no_index_and_no_place() -> None:
    text = LOCK.read_text("utf-8")
    assert re.findall(r"https?:|file:|@ |--(?!hash=)\S+|/\w+/\w+", text) == []


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://example.org/simple",
        "requests",
        "requests==2.32",
        "requests @ file:///x",
    ],
)
def test_a_line_that_the_lock_should_not_have_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"line 1: .* is not what scripts/lock writes"):
        locked(line)


def metadata(**fields: str) -> Any:
    message = Message()
    message["Name"] = "x"
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    return message


@pytest.mark.parametrize(
    "told, expected",
    [
        ({"License_Expression": "MIT", "License": "GPL"}, "MIT"),
        ({"License_Expression": "GPL-3.0-only"}, "GPL-3.0-only"),
        ({"License": "Apache-2.0"}, "Apache-2.0"),
        ({"License": "do what you want"}, None),
        ({"Classifier": "License :: OSI Approved :: MIT License"}, "MIT"),
        ({"Classifier": "License :: OSI Approved :: BSD License"}, None),
        ({"Name": "google_re2"}, None),
        ({}, None),
    ],
)
def test_a_licence_is_what_the_metadata_tell_without_doubt(
    told: dict[str, str], expected: str | None
) -> None:
    assert licence(metadata(**told)) == expected


def test_a_licence_that_is_not_allowed_or_not_told_is_a_finding() -> None:
    assert findings({"good": "MIT", "bad": "AGPL-3.0-only", "silent": None}) == [
        "bad: AGPL-3.0-only is not allowed; see scripts/auditing/licences.py",
        "silent: does not tell its licence; see scripts/auditing/licences.py",
    ]


def test_all_that_the_program_needs_has_a_licence_that_is_allowed() -> None:
    needs = {one["Name"]: licence(one) for one in needed("otel-emqx-monitor")}
    assert {canonicalize_name(one) for one in needs} >= {"requests", "urllib3", "h11", "grpcio"}
    assert "pytest" not in needs  # what only extras need is not shipped
    assert findings(needs) == []


def vulnerable(asked: Any) -> tuple[int, object]:
    if asked["package"]["name"] != "requests":
        return 200, {}
    affected = {
        "package": {"name": "requests", "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
    }
    return 200, {
        "vulns": [
            {
                "id": "PYSEC-2026-1",
                "aliases": ["CVE-2026-1"],
                "details": "bad",
                "affected": [affected],
            }
        ]
    }


@contextmanager
def osv(answer: Any) -> Iterator[str]:
    """Stand in for OSV: ``answer`` makes status and body from the question."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, found = answer(question)
            body = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()


def audit(url: str) -> tuple[int, str]:
    require_module("pip_audit")
    done = subprocess.run(
        [sys.executable, "-m", "auditing.vulnerabilities", "--osv-url", url],
        cwd=ROOT / "scripts",
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_known_vulnerability_fails_the_audit(packages: dict[str, Package]) -> None:
    with osv(vulnerable) as url:
        code, said = audit(url)
    assert code == 1
    assert said == (
        f"vulnerability: requests {packages['requests'].version}: PYSEC-2026-1 CVE-2026-1,"
        " fixed in 99.1\n"
    )


def test_no_known_vulnerability_passes_the_audit(packages: dict[str, Package]) -> None:
    with osv(lambda _: (200, {})) as url:
        assert audit(url) == (0, f"vulnerabilities: {len(packages)} packages, none known\n")


def test_an_audit_that_cannot_ask_says_so_and_fails_nothing() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        code, said = audit(f"http://127.0.0.1:{nobody.getsockname()[1]}/v1/query")
    assert (code, said.partition(":")[0]) == (0, "vulnerabilities")
    assert said.startswith("vulnerabilities: skipped, OSV cannot be asked: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("status", [403, 404, 503])
def test_an_audit_that_is_refused_says_so_and_fails_nothing(status: int) -> None:
    with osv(lambda _: (status, {})) as url:
        code, said = audit(url)
    assert code == 0
    assert said.startswith("vulnerabilities: skipped, OSV cannot be asked: ")
    assert str(status) in said


def test_silence_about_a_package_is_not_taken_for_none_known() -> None:
    known = {"name": "a", "version": "1", "vulns": []}
    report = {"dependencies": [known, {"name": "b", "skip_reason": "not found"}]}
    assert judge(json.dumps(report), "") == (
        ["vulnerabilities: skipped, OSV said nothing of b"],
        0,
    )


def test_an_audit_that_breaks_is_a_failure() -> None:
    broken = "Traceback (most recent call last):\nTypeError: broken"
    assert judge("", broken) == (["vulnerabilities: pip-audit failed: TypeError: broken"], 1)
    assert judge("", "") == (["vulnerabilities: pip-audit failed: pip-audit says nothing"], 1)


@pytest.fixture(scope="module")
def boms() -> list[str]:
    """Two bills of materials, made at the same time: to make one takes seconds."""
    require_module("cyclonedx_py")
    command = [sys.executable, "-m", "auditing.sbom"]
    made = [
        subprocess.Popen(command, cwd=ROOT / "scripts", stdout=subprocess.PIPE, encoding="utf-8")
        for _ in range(2)
    ]
    return [one.communicate(timeout=60)[0] for one in made]


def test_the_bill_of_materials_is_valid_and_has_what_is_locked(
    packages: dict[str, Package], boms: list[str]
) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(boms[0]) is None
    document = json.loads(boms[0])
    assert {one["name"]: one["version"] for one in document["components"]} == {
        name: one.version for name, one in packages.items()
    }
    program = document["metadata"]["component"]
    assert program["version"] == importlib.metadata.version("otel-emqx-monitor")
    needs = {one["ref"]: one["dependsOn"] for one in document["dependencies"]}
    assert len(needs[program["bom-ref"]]) == len(direct())
    [uvicorn] = [ref for ref in needs if ref.startswith("pkg:pypi/uvicorn@")]
    assert [ref.partition("@")[0] for ref in needs[uvicorn]] == ["pkg:pypi/click", "pkg:pypi/h11"]


def test_the_bill_of_materials_is_the_same_each_time(boms: list[str]) -> None:
    assert boms[0] == boms[1]
    assert "serialNumber" not in boms[0]
    assert "timestamp" not in boms[0]
