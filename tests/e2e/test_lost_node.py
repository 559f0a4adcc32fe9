"""A node's agent is killed: its pod goes on elsewhere from the last checkpoint; the old place can commit nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import uuid
from typing import Any

import pytest
import requests

from tests.e2e.site import Site

LIMIT_S = 60.0


class Customer:
    """A signed-up person, through the API."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.session = requests.Session()
        email, password = f"bo-{uuid.uuid4().hex[:8]}@example.com", uuid.uuid4().hex
        answer = self.post("auth/signup", {"email": email, "password": password})
        assert answer.status_code in {200, 201}, answer.text
        site.manage("confirm_email", email)
        signed_in = self.post("auth/login", {"email": email, "password": password}).json()
        self.session.headers["Authorization"] = f"Bearer {signed_in['access']}"

    def post(self, path: str, body: dict[str, Any], **headers: str) -> requests.Response:
        return self.session.post(f"{self.site.url}/api/v2/{path}", json=body, headers=headers, timeout=15)

    def get(self, path: str) -> Any:
        answer = self.session.get(f"{self.site.url}/api/v2/{path}", timeout=15)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def deploy_counter(self) -> str:
        config = self.post(
            "config/pods/", {"name": "count", "template": "count", "gpu_query": "cpu", "payer": "credits", "disk_gb": 1}
        )
        assert config.status_code in {200, 201}, config.text
        pod = self.post("deployment/deploy", {"config": config.json()["id"]}, **{"Idempotency-Key": uuid.uuid4().hex})
        assert pod.status_code in {200, 201}, pod.text
        return str(pod.json()["id"])


def wait(what: str, check: Any) -> Any:
    """Poll a running installation: it tells nobody outside when it has got there."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen within {LIMIT_S:.0f} s")


def agent_pid(site: Site, name: str) -> int:
    """The process of a node's agent, found by its command line."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = open(f"/proc/{entry}/cmdline", "rb").read().decode().split("\0")
        except OSError:
            continue
        if "catalyst.agent" in line and name in line and any(str(site.state_dir) in part for part in line):
            return int(entry)
    raise AssertionError(f"no agent {name}")


def steps(customer: Customer, pod: str, epoch: int) -> list[int]:
    lines = customer.get(f"pods/{pod}/logs?limit=200")["items"]
    found = [re.search(r"\bstep (\d+)", line["text"]) for line in lines if line["epoch"] == epoch]
    return [int(match.group(1)) for match in found if match]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_pod_of_a_lost_node_resumes_elsewhere(site: Site, how: signal.Signals) -> None:
    customer = Customer(site)
    pod = customer.deploy_counter()
    wait("running", lambda: customer.get(f"deployment/pods/{pod}")["status"] == "running")
    committed = wait("a checkpoint", lambda: customer.get(f"jobs/{pod}/checkpoints")["items"])[0]
    node = wait("its node", lambda: node_of(customer, pod))
    pid = agent_pid(site, node)
    os.kill(pid, how)
    began = time.monotonic()
    try:
        resumed = wait("the first step elsewhere", lambda: steps(customer, pod, 2))
        seconds = time.monotonic() - began
    finally:
        if how == signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
    print(json.dumps({"fault": how.name, "resumed_after_s": round(seconds, 1), "first_step": resumed[0]}))
    assert seconds < 20, "lease 6 s, verdict 1 s, start 1 s, and a slow machine"
    assert min(resumed) > committed["step"] >= 1, "it went on from a checkpoint, not from the start"
    assert node_of(customer, pod) != node
    moves = customer.get("failovers/")["items"]
    assert [(move["from_epoch"], move["to_epoch"]) for move in moves if move["pod"] == pod] == [(1, 2)]
    # The old place comes back, is told to stop and commits nothing of its epoch any more.
    wait("both nodes alive", lambda: all(n["status"] == "alive" for n in customer.get("nodes/")["items"]))
    newest = customer.get(f"jobs/{pod}/checkpoints")["items"]
    sequences = [row["sequence"] for row in newest]
    epochs = [row["epoch"] for row in sorted(newest, key=lambda row: row["sequence"])]
    assert len(set(sequences)) == len(sequences)
    assert epochs == sorted(epochs), "epochs of accepted commits never fall"
    customer.post(f"deployment/pods/{pod}/action", {"action": "terminate"})
    wait("terminated", lambda: customer.get(f"deployment/pods/{pod}")["status"] == "terminated")


def node_of(customer: Customer, pod: str) -> str:
    for row in customer.get("nodes/")["items"]:
        if pod in row.get("pods", []):
            return str(row["name"])
    return ""
