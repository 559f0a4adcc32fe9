"""A machine becomes a node by a one-time token."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable

import psutil

from tests.agent.conftest import Agent
from tests.agent.control_plane import ControlPlane


def test_a_machine_enrols_once_and_keeps_its_key(make_agent: Callable[[str], Agent], plane: ControlPlane) -> None:
    agent = make_agent("local-1").start()
    path = agent.state / "node.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["node_key"] == "key-of-local-1"
    enrolment = plane.enrolments[-1]
    assert enrolment["share"] == {"vcpus": 1.0, "ram_gb": 2.0, "disk_gb": 5.0}
    machine = enrolment["machine"]
    assert machine["cpus"] == psutil.cpu_count()
    assert machine["ram_bytes"] == psutil.virtual_memory().total
    assert machine["cpu_model"]
    assert machine["runtimes"] == ["bare"]
    beat = plane.wait_for("beat")
    assert beat["gauges"]["ram_used_bytes"] > 0
    agent.kill()
    agent.start()  # the token is used up: it comes back as who it was
    assert [each["name"] for each in plane.enrolments].count("local-1") == 1
    assert len({m["boot"] for m in plane.of("hello", node=agent.node)}) == 2


def test_a_used_token_is_refused_in_plain_words(make_agent: Callable[[str], Agent], plane: ControlPlane) -> None:
    agent = make_agent("late")
    plane.tokens.clear()
    agent.start(wait=False)
    assert agent.wait() == 2
    assert "refused to enrol this node: 403 bad_token" in agent.errors()


def test_two_agents_cannot_share_a_folder(agent: Agent, plane: ControlPlane) -> None:
    first = agent.process
    agent.start(wait=False)
    assert agent.wait() == 2
    assert "another agent runs in" in agent.errors()
    agent.process = first


def test_it_waits_for_a_control_plane_that_is_not_there_yet(
    make_agent: Callable[[str], Agent], plane: ControlPlane
) -> None:
    plane.stop()
    agent = make_agent("early").start(wait=False)
    plane.wait(lambda: "is not there yet" in agent.errors(), "a word about waiting")
    plane.start()
    plane.wait((agent.state / "node.json").exists, "identity")
