"""The manifests of `examples/deploy` agree with themselves, and what they start is started for real."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from checkrein.testing import Upstream

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "examples" / "deploy"
SSN = "536-90-4399"

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
KUSTOMIZATION = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
RESOURCES = [yaml.safe_load((DEPLOY / path).read_text()) for path in KUSTOMIZATION["resources"]]
POD = next(one for one in RESOURCES if one["kind"] == "Deployment")["spec"]["template"]["spec"]
CONTAINERS = {one["name"]: one for one in [*POD["initContainers"], *POD["containers"]]}
SERVICES = COMPOSE["services"]

# By where they stand, the fields in use: Kubernetes 1.29 and the Compose specification have them all.
POD_FIELDS = {
    "automountServiceAccountToken",
    "terminationGracePeriodSeconds",
    "securityContext",
    "initContainers",
    "containers",
    "volumes",
}
CONTAINER_FIELDS = {
    "name",
    "image",
    "command",
    "args",
    "env",
    "ports",
    "startupProbe",
    "livenessProbe",
    "readinessProbe",
    "resources",
    "securityContext",
    "volumeMounts",
    "restartPolicy",
}
PROBE_FIELDS = {"httpGet", "periodSeconds", "timeoutSeconds", "failureThreshold"}
SERVICE_FIELDS = {
    "image",
    "build",
    "user",
    "network_mode",
    "environment",
    "tmpfs",
    "volumes",
    "secrets",
    "read_only",
    "cap_drop",
    "security_opt",
    "restart",
    "logging",
    "entrypoint",
    "command",
    "healthcheck",
    "ports",
    "networks",
    "mem_limit",
    "cpus",
    "pids_limit",
    "depends_on",
    "stop_grace_period",
}


def env(container):
    return {one["name"]: one["value"] for one in CONTAINERS[container]["env"]}


def test_only_fields_that_exist_are_used():
    assert POD.keys() <= POD_FIELDS
    for one in CONTAINERS.values():
        assert one.keys() <= CONTAINER_FIELDS
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert one.get(name, {}).keys() <= PROBE_FIELDS
    for one in SERVICES.values():
        assert one.keys() <= SERVICE_FIELDS
    assert COMPOSE.keys() <= {"name", "services", "networks", "secrets", "x-hardened", "x-proxy"}


def test_every_container_is_confined():
    context = POD["securityContext"]
    assert context["runAsNonRoot"]
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    for one in CONTAINERS.values():
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert one["resources"]["limits"]["memory"]
        assert one["resources"]["requests"].keys() == {"cpu", "memory"}
    for one in SERVICES.values():
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]
        assert not one["user"].startswith("0")
        assert one["mem_limit"]


def test_images_are_pinned_and_the_ones_that_are_built():
    images = {one["image"] for one in [*CONTAINERS.values(), *SERVICES.values()]}
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    built = set(re.findall(r"-t (\S+) \.", dockerfile))
    bases = re.findall(r"^FROM (\S+) AS (\w+)$", dockerfile, re.MULTILINE)
    assert images == built
    assert all(
        re.fullmatch(r"[\w/.-]+:\d[\w.-]+", image) for image in [*images, *(base for base, _ in bases)]
    )
    targets = {stage for _, stage in bases}
    assert {one["build"]["target"] for one in SERVICES.values() if "build" in one} <= targets
    for source in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", dockerfile, re.MULTILINE):
        assert all((ROOT / path).exists() for path in source.split())
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert all(image.endswith(f":{version[1]}") for image in images)


def test_names_ports_and_mounts_agree_in_the_pod():
    volumes = {one["name"]: one for one in POD["volumes"]}
    maps = {one["name"]: one["files"] for one in KUSTOMIZATION["configMapGenerator"]}
    secrets = {one["name"]: one["files"] for one in KUSTOMIZATION["secretGenerator"]}
    assert volumes["config"]["configMap"]["name"] in maps
    assert volumes["secrets"]["secret"]["secretName"] in secrets
    for name in ("check", "proxy"):
        mounts = {one["name"]: one["mountPath"] for one in CONTAINERS[name]["volumeMounts"]}
        assert mounts.keys() == volumes.keys()
        assert mounts["config"] == env(name)["CONFIG"]
        assert mounts["secrets"] == env(name)["SECRETS"]
        assert mounts["tmp"] == env(name)["HOME"]
    for one in CONTAINERS.values():
        ports = {port["name"] for port in one.get("ports", ())}
        probes = [one[name] for name in ("startupProbe", "livenessProbe", "readinessProbe") if name in one]
        assert {probe["httpGet"]["port"] for probe in probes} <= ports
    deployment, service, policy = (
        next(one for one in RESOURCES if one["kind"] == kind)
        for kind in ("Deployment", "Service", "NetworkPolicy")
    )
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    assert policy["spec"]["podSelector"]["matchLabels"] == labels
    (port,) = CONTAINERS["proxy"]["ports"]
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    assert policy["spec"]["ingress"][0]["ports"][0]["port"] == port["containerPort"]


def test_what_is_mounted_is_what_stands_here():
    (generated,) = KUSTOMIZATION["configMapGenerator"]
    assert {Path(path).name for path in generated["files"]} == {
        one.name for one in (DEPLOY / "config").iterdir() if one.is_file()
    }
    assert all((DEPLOY / path).is_file() for path in generated["files"])
    (secrets,) = KUSTOMIZATION["secretGenerator"]
    names = {Path(path).name for path in secrets["files"]}
    assert names == COMPOSE["secrets"].keys() == {*SERVICES["proxy"]["secrets"]}
    assert {one["file"] for one in COMPOSE["secrets"].values()} == {*secrets["files"]}
    assert (DEPLOY / "secrets" / ".gitignore").read_text().splitlines()[1:] == ["*", "!.gitignore"]
    volume, path, mode = SERVICES["proxy"]["volumes"][0].split(":")
    assert ((DEPLOY / volume).resolve(), path, mode) == (DEPLOY / "config", "/etc/checkrein", "ro")


def test_opa_listens_on_loopback_and_is_asked_there():
    for arguments in (CONTAINERS["opa"]["args"], SERVICES["opa"]["command"]):
        assert "--addr=127.0.0.1:8181" in arguments
        assert arguments[arguments.index("--bundle") + 1] == "/bundle"
    for name in ("check", "proxy"):
        assert env(name)["OPA_URL"] == SERVICES[name]["environment"]["OPA_URL"] == "http://127.0.0.1:8181"
        assert SERVICES[name]["network_mode"] == "service:opa"
        # What differs is where each puts secrets.
        assert env(name) | {"SECRETS": "/run/secrets"} == SERVICES[name]["environment"]
    health = next(one for one in CONTAINERS["opa"]["args"] if one.startswith("--diagnostic-addr"))
    assert int(health.rpartition(":")[2]) == CONTAINERS["opa"]["ports"][0]["containerPort"]


def test_nothing_starts_before_the_check_has_passed():
    assert [one["name"] for one in POD["initContainers"]] == ["opa", "check"]
    assert CONTAINERS["opa"]["restartPolicy"] == "Always"
    assert SERVICES["proxy"]["depends_on"]["check"] == {"condition": "service_completed_successfully"}
    assert SERVICES["check"]["depends_on"]["opa"] == {"condition": "service_healthy"}
    assert CONTAINERS["check"]["command"] + CONTAINERS["check"]["args"] == SERVICES["check"]["entrypoint"]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    """The files that the README has one make."""
    folder = tmp_path_factory.mktemp("secrets")
    people = {"ann": ("pro", "desk"), "fred": ("free", "guests")}
    keyed = {
        hashlib.sha256(f"sk-{name}".encode()).hexdigest(): {"user": name, "team": team, "tier": tier}
        for name, (tier, team) in people.items()
    }
    told = {
        "digest-key": "0123456789abcdef" * 2,
        "litellm-master-key": "sk-master-77312",
        "openai-api-key": "sk-upstream",
        "people.json": json.dumps(keyed),
    }
    assert told.keys() == COMPOSE["secrets"].keys()
    for name, text in told.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def opa():
    """OPA's own engine, with the bundle."""
    command = [
        sys.executable,
        ROOT / "tests" / "engines" / "opa" / "opa_server.py",
        DEPLOY / "bundle",
        "--logs",
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:
        yield server.stdout.readline().strip()
        server.stdin.close()


def environment(container, url, secrets, **more):
    """The container's own environment, at this machine's places."""
    here = {"CONFIG": str(DEPLOY / "config"), "SECRETS": str(secrets), "OPA_URL": url, "HOME": str(secrets)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**env(container), **here, "PATH": path, "NO_PROXY": "*", **more}


def run_check(url, secrets):
    given = environment("check", url, secrets)
    command = [
        part.replace("/etc/checkrein", given["CONFIG"])
        for part in CONTAINERS["check"]["command"] + CONTAINERS["check"]["args"]
    ]
    return subprocess.run(
        command, env=given, cwd=secrets, capture_output=True, text=True, timeout=90, check=False
    )


def test_the_check_passes_with_opa_and_fails_without(opa, secrets):
    passed = run_check(opa, secrets)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "9 denials held" in passed.stdout

    failed = run_check("http://127.0.0.1:9", secrets)
    assert failed.returncode == 3
    assert "OPA is not ready" in failed.stderr


def test_the_scenarios_pass_against_opa_itself(opa, secrets):
    config = DEPLOY / "config" / "checkrein.yaml"
    command = ["checkrein", "test", "--config", str(config), str(DEPLOY / "scenarios.yaml")]
    given = environment("check", opa, secrets)
    ran = subprocess.run(
        command, env=given, cwd=secrets, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@contextmanager
def started(url, secrets, upstream, log) -> Iterator[str]:
    """The proxy, by the script that is the image's entry point; read-only but for its own log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    more = {"HOST": "127.0.0.1", "PORT": str(port), "OPENAI_BASE_URL": upstream.url}
    given = environment("proxy", url, secrets, PYTHONDONTWRITEBYTECODE="1", **more)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [DEPLOY / "start.sh"], env=given, cwd=secrets, stdout=output, stderr=output
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}{probed('startupProbe')}", process, log)
            yield address
        finally:
            process.terminate()
            process.wait(20)


def probed(name):
    return CONTAINERS["proxy"][name]["httpGet"]["path"]


def wait_for(address, process, log):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            if httpx.get(address, timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError(f"`{address}` does not answer")


def ask(address, who, text, model="gpt-4o-mini"):
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    told = {"Authorization": f"Bearer sk-{who}"}
    return httpx.post(f"{address}/v1/chat/completions", json=body, headers=told, timeout=30)


def test_the_proxy_serves_what_policy_permits_and_logs_without_text(opa, secrets, tmp_path):
    log = tmp_path / "stdout"
    before = set((DEPLOY / "config").rglob("*"))
    with Upstream("Your card 4111 1111 1111 1111 is charged.") as upstream:
        with started(opa, secrets, upstream, log) as address:
            for name in ("livenessProbe", "readinessProbe"):
                assert httpx.get(f"{address}{probed(name)}", timeout=10).is_success
            assert ask(address, "nobody", "hello").status_code == 401
            answered = ask(address, "ann", f"My SSN is {SSN}.", "gpt-4o")
            assert "[REDACTED:credit_card]" in answered.json()["choices"][0]["message"]["content"]
            refused = ask(address, "fred", "hello", "gpt-4o")
            assert refused.status_code == 403
            assert "Your plan does not include this model." in refused.json()["error"]["message"]
            secret = ask(address, "ann", "The password is hunter2-Fence! Please log in.")
            assert secret.status_code == 403
        assert SSN not in upstream.texts
        assert [one.headers["authorization"] for one in upstream.requests] == ["Bearer sk-upstream"]
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    records = [one for one in map(json.loads, lines) if one.get("event") == "policy_decision"]
    assert [(one["stage"], one["permitted"]) for one in records] == [
        ("model_selection", True),
        ("pre_prompt", True),
        ("post_completion", True),
        ("model_selection", False),
        ("model_selection", True),
        ("pre_prompt", False),
    ]
    assert all(one["answers"][0]["decision_id"] for one in records)  # OPA's own
    assert SSN not in log.read_text()
    assert set((DEPLOY / "config").rglob("*")) == before
