"""Whatever dies, the pod goes on from where it was, and never twice."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from tests.agent.conftest import Agent, ended
from tests.agent.control_plane import ControlPlane

COUNT = ["catalyst-job:count", "--rate", "50", "--checkpoint-every", "10"]


def checksum(step: int) -> str:
    """What the counting job must have at this step, however often it was interrupted."""
    value = "0" * 16
    for n in range(1, step + 1):
        value = hashlib.sha256(f"{value} {n}".encode()).hexdigest()[:16]
    return value


def test_a_crashed_process_is_back_in_a_moment(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, COUNT)
    plane.wait_checkpoint(pod)
    before = agent.status(pod)["pid"]
    os.kill(before, signal.SIGKILL)
    died = time.time()
    restarting = plane.wait_for("state", pod=pod, state="restarting")
    resumed = plane.wait_line(pod, "resumed at step")
    at = next(line["at"] for line in plane.lines(pod) if line["text"] == resumed)
    sys.stdout.write(f"\ncrash → first line of the resumed process: {at - died:.3f} s\n")
    assert at - died < 1.0
    assert (restarting["signal"], restarting["reason"], restarting["restarts"]) == (signal.SIGKILL, "crashed", 1)
    step = int(resumed.split()[3])
    assert step >= 10
    assert resumed.endswith(checksum(step))
    assert agent.status(pod)["pid"] != before


def test_a_drill_kills_the_whole_group(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, ["sh", "-c", "sleep 600 & echo child $!; wait"])
    child = int(plane.wait_line(pod, "child").split()[1])
    plane.wait_for("state", pod=pod, state="running")
    assert plane.command(agent.node, "signal", pod, name="crash")["ok"]
    plane.wait_line(pod, "child", count=2)
    assert ended(child)


def test_a_process_that_its_parent_left_behind_is_ended_too(pod: str, agent: Agent, plane: ControlPlane) -> None:
    leave = "import os, time\nif os.fork() == 0:\n os.setsid()\n time.sleep(600)\nprint('left', flush=True); time.sleep(600)"
    plane.start_pod(agent.node, pod, ["python3", "-c", leave])
    plane.wait_line(pod, "left")
    status = agent.status(pod)
    orphans = [p.pid for p in psutil.Process(status["keeper"]).children(recursive=True) if p.pid != status["pid"]]
    assert len(orphans) == 1
    os.kill(status["pid"], signal.SIGKILL)
    plane.wait_line(pod, "left", count=2)
    assert ended(orphans[0])


def test_restart_and_checkpoint_on_request(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, [*COUNT[:-1], "100000"])
    plane.wait_line(pod, "step 3 ")
    assert plane.command(agent.node, "signal", pod, name="checkpoint")["ok"]
    first = plane.wait_checkpoint(pod)
    assert plane.command(agent.node, "signal", pod, name="restart")["ok"]
    state = plane.wait_for("state", pod=pod, state="restarting")
    assert (state["reason"], state["restarts"]) == ("restart_requested", 0)
    resumed = plane.wait_line(pod, "resumed at step")
    assert int(resumed.split()[3]) > first["step"]
    assert resumed.endswith(checksum(int(resumed.split()[3])))


def test_a_signal_for_a_pod_that_is_not_here(agent: Agent, plane: ControlPlane) -> None:
    done = plane.command(agent.node, "signal", "pod-unknown", name="crash")
    assert (done["ok"], done["code"]) == (False, "unknown_pod")


def test_a_killed_agent_finds_its_pod_again(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, COUNT)
    plane.wait_line(pod, "step 5 ")
    before = agent.status(pod)
    agent.kill()
    agent.start()
    hello = plane.of("hello", node=agent.node)[-1]
    assert (pod, 1, "running") in [(each["pod"], each["epoch"], each["state"]) for each in hello["pods"]]
    after = plane.heard[-1]["heard_at"]
    plane.wait(lambda: [m for m in plane.of("log", pod=pod) if m["heard_at"] > after], "lines after the restart")
    assert agent.status(pod) == before
    numbers = [line["n"] for line in plane.lines(pod)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert plane.command(agent.node, "stop", pod, mode="terminate")["ok"]
    plane.wait_for("state", pod=pod, state="gone", reason="terminated")
    assert ended(before["pid"])


def test_a_crash_while_the_agent_was_away_is_seen_when_it_is_back(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, COUNT)
    plane.wait_checkpoint(pod)
    agent.kill()
    os.kill(agent.status(pod)["pid"], signal.SIGKILL)
    agent.start()
    plane.wait_for("state", pod=pod, state="restarting", reason="crashed")
    plane.wait_line(pod, "resumed at step")


def test_the_pod_does_not_feel_that_the_control_plane_is_away(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, COUNT)
    plane.wait_line(pod, "step 5 ")
    before = agent.status(pod)
    beats = plane.of("beat", **{"from": agent.node})[-1]["seq"]
    plane.stop()
    away = time.monotonic()
    # Three seconds away: what is awaited is the pod's own progress, 150 steps of it.
    counted = agent.state / f"pods/{pod}/run-1/log"
    plane.wait(lambda: time.monotonic() - away > 3 and list(counted.iterdir()), "three seconds")
    plane.start()
    plane.wait_for("hello", after=away, node=agent.node)
    plane.wait_line(pod, "step 200 ")
    assert agent.status(pod) == before
    numbers = [line["n"] for line in plane.lines(pod)]
    assert numbers == list(range(1, len(numbers) + 1))
    plane.wait(lambda: plane.of("beat", **{"from": agent.node})[-1]["seq"] > beats, "beat with a higher number")


def test_a_state_is_told_until_it_is_acknowledged(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.ack_states = False
    plane.start_pod(agent.node, pod, ["sh", "-c", "exit 0"])
    first = plane.wait_for("state", pod=pod, state="exited")
    plane.stop()
    plane.ack_states = True
    plane.start()
    again = plane.wait_for("state", after=first["heard_at"], pod=pod, state="exited")
    assert again["id"] == first["id"]


def test_a_killed_keeper_takes_its_pod_along_and_both_come_back(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, COUNT)
    plane.wait_checkpoint(pod)
    before = agent.status(pod)
    os.kill(before["keeper"], signal.SIGKILL)
    plane.wait_for("state", pod=pod, state="restarting", reason="keeper_lost")
    resumed = plane.wait_line(pod, "resumed at step")
    assert resumed.endswith(checksum(int(resumed.split()[3])))
    assert ended(before["pid"])


def test_the_keeper_ends_the_pod_of_a_silent_agent(
    pod: str, make_agent: Callable[[str], Agent], plane: ControlPlane
) -> None:
    agent = make_agent("one").start("--fence-s", "2.5")
    plane.start_pod(agent.node, pod, COUNT)
    plane.wait_for("state", pod=pod, state="running")
    status = agent.status(pod)
    agent.signal(signal.SIGSTOP)
    plane.wait(lambda: ended(status["keeper"]), "end of the keeper")
    assert ended(status["pid"])
    assert agent.status(pod)["fenced"]
    agent.signal(signal.SIGCONT)
    plane.wait_for("state", pod=pod, state="gone", reason="fenced")


def test_an_agent_that_comes_back_too_late_says_so(
    pod: str, make_agent: Callable[[str], Agent], plane: ControlPlane
) -> None:
    agent = make_agent("one").start("--fence-s", "2.5")
    plane.start_pod(agent.node, pod, COUNT)
    plane.wait_for("state", pod=pod, state="running")
    agent.kill()
    plane.wait(lambda: ended(agent.status(pod)["keeper"]), "end of the keeper")
    agent.start()
    plane.wait_for("state", pod=pod, state="gone", reason="fenced")
    plane.wait(lambda: not (agent.state / f"pods/{pod}").exists(), "removed folder")


@pytest.mark.parametrize("bare", [True, False], ids=["bare", "sandboxed"])
def test_the_pod_does_not_run_as_root(
    pod: str, make_agent: Callable[[str], Agent], plane: ControlPlane, bare: bool
) -> None:
    agent = make_agent("one").start(bare=bare)
    if not bare and "bubblewrap" not in plane.enrolments[-1]["machine"]["runtimes"]:
        pytest.skip("bubblewrap does not work on this machine")
    # Checkpoint, crash, resume and stop, as the pod's own user in its sandbox.
    plane.start_pod(agent.node, pod, COUNT)
    plane.wait_checkpoint(pod)
    status = agent.status(pod)
    processes = psutil.Process(status["keeper"]).children(recursive=True)
    assert all(process.uids().real != 0 or os.geteuid() != 0 for process in processes)
    assert not any("WARNING" in text for text in plane.texts(pod))
    assert plane.command(agent.node, "signal", pod, name="crash")["ok"]
    plane.wait_line(pod, "resumed at step")
    plane.wait_checkpoint(pod, beyond=plane.checkpoints[pod][-1]["sequence"])
    assert plane.command(agent.node, "stop", pod, mode="stop", grace_s=5)["ok"]
    leaving = plane.wait_line(pod, "leaving at step")
    plane.wait_for("state", pod=pod, state="stopped")
    assert plane.checkpoints[pod][-1]["step"] == int(leaving.split()[3])
    assert all(ended(process.pid) for process in processes)
