"""A pod is started, seen, and ends by itself."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.agent.conftest import Agent, ended
from tests.agent.control_plane import ControlPlane, spec

COUNT = ["catalyst-job:count", "--rate", "50"]
SERVE = "import os, socket; s = socket.create_server(('127.0.0.1', int(os.environ['PORT_8000']))); print('up'); s.accept(); s.accept()"


def test_a_pod_runs_and_completes(pod: str, agent: Agent, plane: ControlPlane) -> None:
    done = plane.start_pod(agent.node, pod, [*COUNT, "--steps", "30"])
    assert done["ok"], done
    running = plane.wait_for("state", pod=pod, state="running")
    exited = plane.wait_for("state", pod=pod, state="exited")
    assert (exited["exit_code"], exited["reason"], exited["restarts"]) == (0, "completed", 0)
    plane.wait_line(pod, "done: 30 steps")
    assert [m["state"] for m in plane.of("state", pod=pod)] == ["starting", "running", "exited"]
    assert running["epoch"] == 1
    numbers = [line["n"] for line in plane.lines(pod)]
    assert numbers == list(range(1, len(numbers) + 1))
    plane.wait(lambda: [m for m in plane.of("beat") for p in m["pods"] if p["step"] == 30], "step 30 in a beat")


def test_a_pod_sees_a_clean_environment(pod: str, agent: Agent, plane: ControlPlane) -> None:
    show = "import json, os, sys; print(json.dumps(dict(os.environ))); print('to stderr', file=sys.stderr)"
    values = {"env": {"GREETING": "hello\nworld", "CATALYST_EPOCH": "forged"}, "limits": {"vcpus": 1.5}}
    plane.start_pod(agent.node, pod, ["python3", "-c", show], epoch=7, **values)
    environment = json.loads(plane.wait_line(pod, "{", epoch=7))
    assert environment["GREETING"] == "hello\nworld"
    assert (environment["CATALYST_POD_ID"], environment["CATALYST_EPOCH"]) == (pod, "7")
    assert (environment["CATALYST_RESUME_FROM"], environment["CATALYST_GRACE_S"]) == ("", "5")
    assert environment["OMP_NUM_THREADS"] == "2"
    assert "AGENT_SECRET" not in environment
    assert "key-of" not in json.dumps(environment)
    plane.wait(lambda: "to stderr" in plane.texts(pod, 7, "stderr"), "line on stderr")


def test_running_means_that_its_port_answers(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, ["python3", "-c", SERVE], ports=[8000])
    state = plane.wait_for("state", pod=pod, state="running")
    with socket.create_connection(("127.0.0.1", state["ports"]["8000"]), timeout=5):
        pass
    plane.wait_for("state", pod=pod, state="exited")


def test_a_failure_is_told_with_its_code(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, ["sh", "-c", "echo bye; exit 3"], restart_policy="never")
    failed = plane.wait_for("state", pod=pod, state="failed")
    assert (failed["exit_code"], failed["signal"], failed["reason"]) == (3, None, "crashed")


def test_failures_are_tried_again_with_growing_delays(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, ["sh", "-c", "echo try; exit 4"])
    states = plane.wait(lambda: (found := plane.of("state", pod=pod, state="restarting"))[2:] and found, "restarts")
    assert [m["restarts"] for m in states[:3]] == [1, 2, 3]
    plane.wait_line(pod, "try", count=3)
    tries = [line["at"] for line in plane.lines(pod) if line["text"] == "try"]
    assert tries[1] - tries[0] < 1.0 <= tries[2] - tries[1]


def test_a_program_that_is_not_there(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, ["no-such-program"])
    failed = plane.wait_for("state", pod=pod, state="failed")
    assert failed["reason"] == "runtime_failed"
    plane.wait(lambda: any("no-such-program" in text for text in plane.texts(pod)), "line of the agent")


def test_a_command_is_done_once(pod: str, agent: Agent, plane: ControlPlane) -> None:
    command = {
        "type": "start",
        "id": "same",
        "pod": pod,
        "epoch": 1,
        "spec": spec(["sh", "-c", "echo once; sleep 60"]),
    }
    for _ in range(2):
        plane.send(agent.node, command)
    answers = plane.wait(lambda: (found := plane.of("done", id="same"))[1:] and found, "two answers")
    assert [answer["ok"] for answer in answers] == [True, True]
    plane.wait_line(pod, "once")
    other = {**command, "id": "other"}
    plane.send(agent.node, other)  # the same epoch again, by another command: it runs already
    plane.wait_for("done", id="other", ok=True)
    assert plane.texts(pod).count("once") == 1
    assert agent.status(pod)["run"] == 1


def test_a_lower_epoch_is_refused(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, ["sleep", "60"], epoch=5)
    plane.wait_for("state", pod=pod, state="running")
    done = plane.start_pod(agent.node, pod, ["sleep", "60"], epoch=4)
    assert (done["ok"], done["code"]) == (False, "stale_epoch")
    plane.command(agent.node, "stop", pod, 5, mode="terminate")
    plane.wait_for("state", pod=pod, state="gone")
    assert plane.start_pod(agent.node, pod, ["sleep", "60"], epoch=4)["code"] == "stale_epoch"


def test_a_higher_epoch_ends_the_older_one_first(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, ["sh", "-c", "echo $$; sleep 60"], epoch=1)
    plane.wait_for("state", pod=pod, state="running", epoch=1)
    before = agent.status(pod, 1)["pid"]
    assert plane.start_pod(agent.node, pod, ["sleep", "60"], epoch=2)["ok"]
    plane.wait_for("state", pod=pod, state="running", epoch=2)
    assert agent.status(pod, 2)["pid"] != before
    assert ended(before)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"command": []}, "bad_spec"),
        ({"command": ["sh", 3]}, "bad_spec"),
        ({"command": ["sh"], "ports": [70000]}, "bad_spec"),
        ({"command": ["sh"], "env": {"A=B": "x"}}, "bad_spec"),
        ({"command": ["sh"], "limits": {"ram_bytes": -1}}, "bad_spec"),
        ({"command": ["sh"], "grace_s": "soon"}, "bad_spec"),
        ({"command": ["sh"], "restart_policy": "sometimes"}, "bad_spec"),
        ({"command": ["sh"], "runtime": "docker", "image": "alpine"}, "runtime_unavailable"),
    ],
)
def test_bad_specs_are_refused(pod: str, agent: Agent, plane: ControlPlane, values: dict[str, Any], code: str) -> None:
    done = plane.command(agent.node, "start", pod, 1, spec=spec([]) | values)
    assert (done["ok"], done["code"]) == (False, code)


def test_a_pods_id_cannot_leave_its_folder(agent: Agent, plane: ControlPlane) -> None:
    done = plane.command(agent.node, "start", "../evil", 1, spec=spec(["true"]))
    assert (done["ok"], done["code"]) == (False, "bad_spec")


def test_a_pod_that_takes_too_much_memory_is_ended(pod: str, agent: Agent, plane: ControlPlane) -> None:
    eat = "import time; x = bytearray(120_000_000); print('eaten', flush=True); time.sleep(60)"
    limits = {"ram_bytes": 60_000_000}
    plane.start_pod(agent.node, pod, ["python3", "-c", eat], limits=limits, restart_policy="never")
    failed = plane.wait_for("state", pod=pod, state="failed")
    assert failed["reason"] == "memory_limit"


def test_metrics_are_measured(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, ["python3", "-c", "while True: sum(range(1000))"])
    metric = plane.wait(lambda: [m for m in plane.of("metric", pod=pod) if m["cpu_percent"] > 0], "metric")[0]
    assert 5 < metric["cpu_percent"] < 150
    assert metric["ram_bytes"] > 1_000_000
    assert metric["disk_bytes"] > 0
    assert abs(metric["at"] - time.time()) < 10


@pytest.mark.skipif(os.geteuid() != 0, reason="only an agent started as root has another user for its pods")
def test_a_closed_folder_is_told_and_worked_around(
    pod: str, make_agent: Callable[[str], Agent], plane: ControlPlane
) -> None:
    agent = make_agent("closed")
    agent.state.chmod(0o700)
    agent.start()
    plane.start_pod(agent.node, pod, [*COUNT, "--steps", "5"])
    plane.wait_for("state", pod=pod, state="exited")
    warning = plane.wait_line(pod, "WARNING")
    assert "cannot reach" in warning
    assert str(agent.state) in warning
