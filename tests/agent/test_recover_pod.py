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

COUNT = ["python3", "-m", "catalyst.agent.jobs.count", "--rate", "50", "--checkpoint-every", "10"]


def checksum(step: int) -> str:
    """What the counting job must have at this step, however often it was interrupted."""
    value = "0" * 16
    for n in range(1, step + 1):
        value = hashlib.sha256(f"{value} {n}".encode()).hexdigest()[:16]
    return value


def test_a_crashed_process_is_back_in_a_moment(agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, "pod-1", COUNT)
    plane.wait_checkpoint("pod-1")
    before = agent.status("pod-1")["pid"]
    os.kill(before, signal.SIGKILL)
    died = time.time()
    restarting = plane.wait_for("state", pod="pod-1", state="restarting")
    resumed = plane.wait_line("pod-1", "resumed at step")
    at = next(line["at"] for line in plane.lines("pod-1") if line["text"] == resumed)
    sys.stdout.write(f"\ncrash → first line of the resumed process: {at - died:.3f} s\n")
    assert at - died < 1.0
    assert (restarting["signal"], restarting["reason"], restarting["restarts"]) == (signal.SIGKILL, "crashed", 1)
    step = int(resumed.split()[3])
    assert step >= 10
    assert resumed.endswith(checksum(step))
    assert agent.status("pod-1")["pid"] != before


def test_a_drill_kills_the_whole_group(agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, "pod-1", ["sh", "-c", "sleep 600 & echo child $!; wait"])
    child = int(plane.wait_line("pod-1", "child").split()[1])
    plane.wait_for("state", pod="pod-1", state="running")
    assert plane.command(agent.node, "signal", "pod-1", name="crash")["ok"]
    plane.wait_line("pod-1", "child", count=2)
    assert ended(child)


def test_a_process_that_its_parent_left_behind_is_ended_too(agent: Agent, plane: ControlPlane) -> None:
    leave = "import os, time\nif os.fork() == 0:\n os.setsid()\n time.sleep(600)\nprint('left', flush=True); time.sleep(600)"
    plane.start_pod(agent.node, "pod-1", ["python3", "-c", leave])
    plane.wait_line("pod-1", "left")
    status = agent.status("pod-1")
    orphans = [p.pid for p in psutil.Process(status["keeper"]).children(recursive=True) if p.pid != status["pid"]]
    assert len(orphans) == 1
    os.kill(status["pid"], signal.SIGKILL)
    plane.wait_line("pod-1", "left", count=2)
    assert ended(orphans[0])


def test_restart_and_checkpoint_on_request(agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, "pod-1", [*COUNT[:-1], "100000"])
    plane.wait_line("pod-1", "step 3 ")
    assert plane.command(agent.node, "signal", "pod-1", name="checkpoint")["ok"]
    first = plane.wait_checkpoint("pod-1")
    assert plane.command(agent.node, "signal", "pod-1", name="restart")["ok"]
    state = plane.wait_for("state", pod="pod-1", state="restarting")
    assert (state["reason"], state["restarts"]) == ("restart_requested", 0)
    resumed = plane.wait_line("pod-1", "resumed at step")
    assert int(resumed.split()[3]) > first["step"]
    assert resumed.endswith(checksum(int(resumed.split()[3])))


def test_a_signal_for_a_pod_that_is_not_here(agent: Agent, plane: ControlPlane) -> None:
    done = plane.command(agent.node, "signal", "pod-9", name="crash")
    assert (done["ok"], done["code"]) == (False, "unknown_pod")


def test_a_killed_agent_finds_its_pod_again(agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, "pod-1", COUNT)
    plane.wait_line("pod-1", "step 5 ")
    before = agent.status("pod-1")
    agent.kill()
    agent.start()
    hello = plane.of("hello")[-1]
    assert [(pod["pod"], pod["epoch"], pod["state"]) for pod in hello["pods"]] == [("pod-1", 1, "running")]
    after = plane.heard[-1]["heard_at"]
    plane.wait(lambda: [m for m in plane.of("log", pod="pod-1") if m["heard_at"] > after], "lines after the restart")
    assert agent.status("pod-1") == before
    numbers = [line["n"] for line in plane.lines("pod-1")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert plane.command(agent.node, "stop", "pod-1", mode="terminate")["ok"]
    plane.wait_for("state", pod="pod-1", state="gone", reason="terminated")
    assert ended(before["pid"])


def test_a_crash_while_the_agent_was_away_is_seen_when_it_is_back(agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, "pod-1", COUNT)
    plane.wait_checkpoint("pod-1")
    agent.kill()
    os.kill(agent.status("pod-1")["pid"], signal.SIGKILL)
    agent.start()
    plane.wait_for("state", pod="pod-1", state="restarting", reason="crashed")
    plane.wait_line("pod-1", "resumed at step")


def test_the_pod_does_not_feel_that_the_control_plane_is_away(agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, "pod-1", COUNT)
    plane.wait_line("pod-1", "step 5 ")
    before = agent.status("pod-1")
    beats = max(m["seq"] for m in plane.of("beat"))
    plane.stop()
    away = time.monotonic()
    # Three seconds away: what is awaited is the pod's own progress, 150 steps of it.
    counted = agent.state / "pods/pod-1/run-1/log"
    plane.wait(lambda: time.monotonic() - away > 3 and list(counted.iterdir()), "three seconds")
    plane.start()
    plane.wait_for("hello", after=away)
    plane.wait_line("pod-1", "step 200 ")
    assert agent.status("pod-1") == before
    numbers = [line["n"] for line in plane.lines("pod-1")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert plane.wait_for("beat", after=away)["seq"] > beats


def test_a_state_is_told_until_it_is_acknowledged(agent: Agent, plane: ControlPlane) -> None:
    plane.ack_states = False
    plane.start_pod(agent.node, "pod-1", ["sh", "-c", "exit 0"])
    first = plane.wait_for("state", pod="pod-1", state="exited")
    plane.stop()
    plane.ack_states = True
    plane.start()
    again = plane.wait_for("state", after=first["heard_at"], pod="pod-1", state="exited")
    assert again["id"] == first["id"]


def test_a_killed_keeper_takes_its_pod_along_and_both_come_back(agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, "pod-1", COUNT)
    plane.wait_checkpoint("pod-1")
    before = agent.status("pod-1")
    os.kill(before["keeper"], signal.SIGKILL)
    plane.wait_for("state", pod="pod-1", state="restarting", reason="keeper_lost")
    resumed = plane.wait_line("pod-1", "resumed at step")
    assert resumed.endswith(checksum(int(resumed.split()[3])))
    assert ended(before["pid"])


def test_the_keeper_ends_the_pod_of_a_silent_agent(make_agent: Callable[[str], Agent], plane: ControlPlane) -> None:
    agent = make_agent("one").start("--fence-s", "1.5")
    plane.start_pod(agent.node, "pod-1", COUNT)
    plane.wait_for("state", pod="pod-1", state="running")
    status = agent.status("pod-1")
    agent.signal(signal.SIGSTOP)
    plane.wait(lambda: ended(status["keeper"]), "end of the keeper")
    assert ended(status["pid"])
    assert agent.status("pod-1")["fenced"]
    agent.signal(signal.SIGCONT)
    plane.wait_for("state", pod="pod-1", state="gone", reason="fenced")


def test_an_agent_that_comes_back_too_late_says_so(make_agent: Callable[[str], Agent], plane: ControlPlane) -> None:
    agent = make_agent("one").start("--fence-s", "1.5")
    plane.start_pod(agent.node, "pod-1", COUNT)
    plane.wait_for("state", pod="pod-1", state="running")
    agent.kill()
    plane.wait(lambda: ended(agent.status("pod-1")["keeper"]), "end of the keeper")
    agent.start()
    plane.wait_for("state", pod="pod-1", state="gone", reason="fenced")
    plane.wait(lambda: not (agent.state / "pods/pod-1").exists(), "removed folder")


@pytest.mark.parametrize("bare", [True, False], ids=["bare", "sandboxed"])
def test_the_pod_does_not_run_as_root(make_agent: Callable[[str], Agent], plane: ControlPlane, bare: bool) -> None:
    agent = make_agent("one").start(bare=bare)
    if not bare and "bubblewrap" not in plane.enrolments[-1]["machine"]["runtimes"]:
        pytest.skip("bubblewrap does not work on this machine")
    # Checkpoint, crash, resume and stop, as the pod's own user in its sandbox.
    plane.start_pod(agent.node, "pod-1", COUNT)
    plane.wait_checkpoint("pod-1")
    status = agent.status("pod-1")
    processes = psutil.Process(status["keeper"]).children(recursive=True)
    assert all(process.uids().real != 0 or os.geteuid() != 0 for process in processes)
    assert not any("WARNING" in text for text in plane.texts("pod-1"))
    assert plane.command(agent.node, "signal", "pod-1", name="crash")["ok"]
    plane.wait_line("pod-1", "resumed at step")
    seen = plane.checkpoints["pod-1"][-1]["sequence"]
    assert plane.command(agent.node, "stop", "pod-1", mode="stop", grace_s=5)["ok"]
    plane.wait_line("pod-1", "leaving at step")
    plane.wait_for("state", pod="pod-1", state="stopped")
    plane.wait_checkpoint("pod-1", beyond=seen)
    assert all(ended(process.pid) for process in processes)
