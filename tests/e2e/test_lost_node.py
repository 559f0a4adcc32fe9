"""A node's agent is killed: its pod goes on elsewhere from the last checkpoint; the old place can commit nothing."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.e2e.customer import Customer, wait
from tests.e2e.site import Site


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_pod_of_a_lost_node_resumes_elsewhere(site: Site, how: signal.Signals) -> None:
    customer = Customer(site.url)
    wait("both nodes alive", lambda: [n["status"] for n in customer.get("nodes/")["items"]] == ["alive", "alive"])
    pod = customer.deploy_counter()
    wait("running", lambda: customer.status(pod) == "running")
    committed = wait("a checkpoint", lambda: customer.get(f"jobs/{pod}/checkpoints")["items"])[0]
    node = wait("its node", lambda: customer.node_of(pod))
    pid = site.agent_pid(node)
    os.kill(pid, how)
    began = time.monotonic()
    try:
        resumed = wait("the first step elsewhere", lambda: customer.steps(pod, 2))
        seconds = time.monotonic() - began
    finally:
        if how == signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
    print(f"{how.name}: the first line elsewhere after {seconds:.1f} s, step {resumed[0]}")
    assert seconds < 20, "a lease of 6 s, a second each for the verdict and the start, and a slow machine"
    assert resumed[0] >= committed["step"] >= 1, "it went on from a checkpoint, not from the start"
    assert customer.node_of(pod) != node
    moves = [move for move in customer.get("failovers/")["items"] if move["pod"] == pod]
    assert [(move["from_epoch"], move["to_epoch"], move["cause"]) for move in moves] == [(1, 2, "node_lost")]

    # The old place comes back and is told to stop; nothing of its epoch is accepted after the move.
    wait("both nodes alive", lambda: [n["status"] for n in customer.get("nodes/")["items"]] == ["alive", "alive"])
    ahead = customer.steps(pod, 2)[-1]
    wait("work goes on", lambda: customer.steps(pod, 2)[-1] > ahead + 20)
    rows = sorted(customer.get(f"jobs/{pod}/checkpoints")["items"], key=lambda row: int(row["sequence"]))
    epochs, steps = [row["epoch"] for row in rows], [row["step"] for row in rows]
    assert epochs == sorted(epochs), "epochs of accepted commits never fall"
    assert steps == sorted(steps), "no work was undone"
    customer.act(pod, "terminate")
    wait("terminated", lambda: customer.status(pod) == "terminated")
