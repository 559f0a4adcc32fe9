"""Every way to end a pod, and what is left of it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

from tests.agent.conftest import Agent, ended
from tests.agent.control_plane import ControlPlane

COUNT = ["catalyst-job:count", "--rate", "50", "--checkpoint-every", "1000"]
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)


def test_stop_keeps_the_last_checkpoint(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, COUNT)
    plane.wait_line(pod, "step 5 ")
    pid = agent.status(pod)["pid"]
    assert plane.command(agent.node, "stop", pod, mode="stop", grace_s=5)["ok"]
    stopped = plane.wait_for("state", pod=pod, state="stopped")
    assert (stopped["reason"], stopped["exit_code"]) == ("stopped", 143)
    leaving = plane.wait_line(pod, "leaving at step")
    manifest = plane.checkpoints[pod][-1]
    assert manifest["step"] == int(leaving.split()[3])
    assert plane.content(manifest, "state.json")["checksum"] == leaving.split()[-1]
    assert ended(pid)
    assert (agent.state / f"pods/{pod}/checkpoints" / f"step-{manifest['step']}").is_dir()
    assert plane.command(agent.node, "stop", pod, mode="terminate")["ok"]
    plane.wait_for("state", pod=pod, state="gone", reason="terminated")
    assert not (agent.state / f"pods/{pod}").exists()


def test_who_does_not_leave_is_killed_after_the_grace(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, ["python3", "-c", STUBBORN])
    plane.wait_line(pod, "up")
    begun = time.monotonic()
    plane.command(agent.node, "stop", pod, mode="terminate", grace_s=0.5)
    gone = plane.wait_for("state", pod=pod, state="gone")
    assert gone["signal"] == signal.SIGKILL
    assert 0.5 <= gone["heard_at"] - begun < 5


def test_stale_commits_nothing_and_leaves_nothing(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, COUNT)
    plane.wait_line(pod, "step 5 ")
    pid = agent.status(pod)["pid"]
    plane.command(agent.node, "stop", pod, mode="stale")
    plane.wait_for("state", pod=pod, state="gone", reason="stale")
    assert ended(pid)
    assert plane.checkpoints.get(pod, []) == []
    assert not (agent.state / f"pods/{pod}").exists()
    assert not any(text.startswith("leaving") for text in plane.texts(pod))


def test_stale_cuts_a_long_grace_short(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, ["python3", "-c", STUBBORN])
    plane.wait_line(pod, "up")
    plane.command(agent.node, "stop", pod, mode="stop", grace_s=600)
    plane.command(agent.node, "stop", pod, mode="stale")
    plane.wait_for("state", pod=pod, state="gone", reason="stale")


def test_ending_what_is_not_here_is_no_failure(agent: Agent, plane: ControlPlane) -> None:
    done = plane.command(agent.node, "stop", "pod-unknown", 3, mode="terminate")
    assert (done["ok"], done["code"]) == (True, "unknown_pod")
    assert plane.wait_for("state", pod="pod-unknown", state="gone")["epoch"] == 3


def test_a_stop_of_an_older_epoch_leaves_the_newer_one_alone(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, ["sleep", "600"], epoch=2)
    plane.wait_for("state", pod=pod, state="running")
    pid = agent.status(pod, 2)["pid"]
    plane.command(agent.node, "stop", pod, 1, mode="stale")
    assert plane.wait_for("state", pod=pod, state="gone")["epoch"] == 1
    assert not ended(pid)


def test_an_agent_that_wakes_after_its_pod_was_moved(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, [*COUNT[:-1], "5"])
    plane.wait_checkpoint(pod)
    pid = agent.status(pod)["pid"]
    agent.signal(signal.SIGSTOP)
    plane.epochs[pod] = 2  # another node has it now
    committed = len(plane.checkpoints[pod])
    agent.signal(signal.SIGCONT)
    plane.wait_for("state", pod=pod, state="gone", reason="stale")
    assert ended(pid)
    assert plane.refused_commits[pod] == 1
    assert len(plane.checkpoints[pod]) == committed
    assert not (agent.state / f"pods/{pod}").exists()


def test_the_agent_ends_in_order(pod: str, make_agent: Callable[[str], Agent], plane: ControlPlane) -> None:
    agent = make_agent("one").start("--shutdown-s", "3")
    other = f"{pod}-stubborn"
    plane.start_pod(agent.node, pod, COUNT)
    plane.start_pod(agent.node, other, ["python3", "-c", STUBBORN], grace_s=60)
    plane.wait_line(pod, "step 5 ")
    plane.wait_line(other, "up")
    statuses = [agent.status(each) for each in (pod, other)]
    begun = time.monotonic()
    agent.signal(signal.SIGTERM)
    assert agent.wait() == 0
    sys.stdout.write(f"\nagent ended with two pods in {time.monotonic() - begun:.2f} s\n")
    assert time.monotonic() - begun < 9, "three seconds for the pods, and a busy machine"
    for each in (pod, other):
        assert plane.wait_for("state", pod=each, state="stopped")["reason"] == "agent_shutdown"
    assert plane.checkpoints[pod]
    assert all(ended(status[key]) for status in statuses for key in ("pid", "keeper"))
    agent.start()
    hello = plane.of("hello", node=agent.node)[-1]
    assert {(each["pod"], each["state"]) for each in hello["pods"]} == {(pod, "stopped"), (other, "stopped")}
    plane.start_pod(agent.node, pod, COUNT, epoch=2)
    plane.wait_line(pod, "resumed at step", epoch=2)


def test_the_agent_ends_in_order_without_the_control_plane(
    pod: str, make_agent: Callable[[str], Agent], plane: ControlPlane
) -> None:
    agent = make_agent("one").start("--shutdown-s", "3")
    plane.start_pod(agent.node, pod, COUNT)
    plane.wait_line(pod, "step 5 ")
    status = agent.status(pod)
    plane.stop()
    begun = time.monotonic()
    agent.signal(signal.SIGTERM)
    assert agent.wait() == 0
    assert time.monotonic() - begun < 9, "three seconds for the pods, and a busy machine"
    assert ended(status["pid"])
    assert ended(status["keeper"])
    assert os.listdir(agent.state / f"pods/{pod}/checkpoints")
    plane.start()
    agent.start()  # what could not be told and uploaded then is told and uploaded now
    plane.wait_for("state", pod=pod, state="stopped")
    plane.wait_checkpoint(pod)
