"""A whole installation with two nodes: how long a job's work stands still when its process, or its node, is killed.

Measured until the line "resumed at step …" stands in the log that its owner reads through the API.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from django.conf import settings

from benchmarks.report import Row, median_and_spread
from tests.e2e.customer import Customer, wait
from tests.e2e.site import Site, command_lines

CRASHES = 7
LOSSES = 3
POLL_S = 0.01
LIMIT_S = 60.0
JOB = "/count.py"


def run() -> list[Row]:
    site = Site(settings.STATE_DIR / "site")
    site.start()
    try:
        customer = Customer(site.url)
        bare = statistics.median(_bare_start() for _ in range(CRASHES))
        crashes = [_crash(site, customer) for _ in range(CRASHES)]
        losses = [_lose_node(site, customer) for _ in range(LOSSES)]
    finally:
        site.stop()
    lease = float(settings.NODE_LEASE_SECONDS)
    return [
        _row("process killed → resumed line read", crashes, "start of the bare job", bare, "≤ 1 s"),
        _row("agent killed → resumed elsewhere", losses, "the lease alone", lease, "≤ 12 s"),
    ]


def _row(name: str, spent: list[float], reference_name: str, reference: float, aim: str) -> Row:
    value, spread = median_and_spread(spent)
    return Row(name, value, "s", reference_name, reference, value / reference, aim, spread)


def _crash(site: Site, customer: Customer) -> float:
    """A pod of its own for each: the restarts of one wait longer each time, as they should."""
    pod = _deploy(customer)
    os.kill(_job_pids(site)[-1], signal.SIGKILL)
    spent = _until(lambda: _resumed(customer, pod, epoch=1))
    _end(site, customer, pod)
    return spent


def _lose_node(site: Site, customer: Customer) -> float:
    wait("both nodes alive", lambda: [n["status"] for n in customer.get("nodes/")["items"]] == ["alive", "alive"])
    pod = _deploy(customer)
    os.kill(site.agent_pid(customer.node_of(pod)), signal.SIGKILL)
    spent = _until(lambda: _resumed(customer, pod, epoch=2))
    _end(site, customer, pod)
    return spent


def _deploy(customer: Customer) -> str:
    """A running job with a checkpoint that the control plane has."""
    pod = customer.deploy_counter()
    wait("a checkpoint", lambda: customer.get(f"jobs/{pod}/checkpoints")["items"])
    return pod


def _end(site: Site, customer: Customer, pod: str) -> None:
    """Until its processes are gone, those on a node that was lost and came back too."""
    customer.act(pod, "terminate")
    wait("terminated", lambda: customer.status(pod) == "terminated")
    wait("no process left", lambda: not _job_pids(site))


def _job_pids(site: Site) -> list[int]:
    """Of the counting jobs that run in this installation, the sandbox around one before the process itself."""
    folder = str(site.state_dir)
    return sorted(
        pid for pid, words in command_lines() if any(word.startswith(folder) and word.endswith(JOB) for word in words)
    )


def _resumed(customer: Customer, pod: str, epoch: int) -> bool:
    lines = customer.get(f"pods/{pod}/logs?limit=50")["items"]
    return any(line["epoch"] == epoch and line["text"].startswith("resumed at step") for line in lines)


def _until(happened: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not happened():
        if time.monotonic() > began + LIMIT_S:
            raise AssertionError(f"nothing resumed within {LIMIT_S:.0f} s")
        time.sleep(POLL_S)
    return time.monotonic() - began


def _bare_start() -> float:
    """The same job without us: from its start to its first line."""
    began = time.monotonic()
    job = subprocess.Popen([sys.executable, "-m", "catalyst.agent.jobs.count"], stdout=subprocess.PIPE)
    assert job.stdout
    with job, job.stdout:
        job.stdout.readline()
        spent = time.monotonic() - began
        job.kill()
    return spent
