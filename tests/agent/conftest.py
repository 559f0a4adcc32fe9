"""A control plane and agents as real processes, each with a state folder of its own."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.agent.control_plane import DEADLINE_S, TOKEN, ControlPlane, running

ROOT = Path(__file__).resolve().parents[2]
pod_numbers = itertools.count(1)


class Agent:
    """One agent process. `bare` hides bubblewrap and docker from it."""

    def __init__(self, plane: ControlPlane, state: Path, name: str) -> None:
        self.plane, self.state, self.name = plane, state, name
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, bare: bool = True, wait: bool = True) -> Agent:
        token = self.state / "token"
        token.write_text(TOKEN)
        share = ("--vcpus", "1", "--ram-gb", "2", "--disk-gb", "5")
        argv = [sys.executable, "-m", "catalyst.agent", "--server", self.plane.url, "--state", str(self.state)]
        argv += ["--name", self.name, "--token-file", str(token), "--sandbox-local", *share, *options]
        env = {"PATH": "/nowhere" if bare else os.environ["PATH"], "PYTHONPATH": str(ROOT), "AGENT_SECRET": "hidden"}
        since = time.monotonic()
        with (self.state / "agent.err").open("ab") as errors:
            self.process = subprocess.Popen(argv, cwd=ROOT, env=env, stderr=errors)
        if wait:
            self.plane.wait((self.state / "node.json").exists, "node.json")
            self.plane.wait_for("hello", after=since, node=self.node)
        return self

    @property
    def node(self) -> str:
        node: str = json.loads((self.state / "node.json").read_text())["node_id"]
        return node

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(DEADLINE_S)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def status(self, pod: str, epoch: int = 1) -> dict[str, Any]:
        """What the keeper wrote down."""
        status: dict[str, Any] = json.loads((self.state / "pods" / pod / f"run-{epoch}" / "status.json").read_text())
        return status

    def errors(self) -> str:
        return (self.state / "agent.err").read_text()

    def clean(self) -> None:
        """End what a failed test may have left."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for path in self.state.glob("pods/*/run-*/status.json"):
            with contextlib.suppress(psutil.Error, ValueError):
                keeper = psutil.Process(json.loads(path.read_text())["keeper"])
                if "catalyst.agent.keeper" in keeper.cmdline():
                    for process in [*keeper.children(recursive=True), keeper]:
                        process.kill()
        shutil.rmtree(self.state, ignore_errors=True)


def new_agent(plane: ControlPlane, name: str) -> Agent:
    # Not pytest's own folder: that is closed to other users, and pods run as one.
    state = Path(tempfile.mkdtemp(prefix=f"agent-{name}-"))
    state.chmod(0o711)
    plane.tokens.add(TOKEN)
    return Agent(plane, state, name)


@pytest.fixture(scope="package")
def plane() -> Iterator[ControlPlane]:
    with running() as control_plane:
        yield control_plane


@pytest.fixture
def make_agent(plane: ControlPlane) -> Iterator[Callable[[str], Agent]]:
    agents: list[Agent] = []

    def make(name: str) -> Agent:
        agents.append(new_agent(plane, name))
        return agents[-1]

    yield make
    for agent in agents:
        agent.clean()


@pytest.fixture(scope="package")
def lasting_agent(plane: ControlPlane) -> Iterator[Agent]:
    agent = new_agent(plane, "lasting")
    yield agent
    agent.clean()


@pytest.fixture
def agent(lasting_agent: Agent) -> Agent:
    """The agent of most tests; one that a test has killed is started again."""
    process = lasting_agent.process
    return lasting_agent.start() if process is None or process.poll() is not None else lasting_agent


@pytest.fixture
def pod(plane: ControlPlane) -> Iterator[str]:
    """A pod's id that no other test has; whatever runs under it is ended afterwards."""
    name = f"pod-{next(pod_numbers)}"
    yield name
    plane.forget(name)


def ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
