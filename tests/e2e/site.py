"""A whole installation, as `make run` starts it, in a folder of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from lib.local.ports import free_port

CHECKOUT = Path(__file__).resolve().parents[2]
RUNS_AT = re.compile(r"GPUBroker runs at (\S+)")
READY_S = 180
STOP_S = 20
# What the tests themselves were given must not reach the installation under test.
NOT_PASSED_ON = {"DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "STATE_DIR", "PUBLIC_URL", "PORT", "MODE", "NODES"}


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """What runs on this machine: process ids with their words."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield int(folder.name), (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended meanwhile
            continue


class Site:
    """`start` returns when the summary is printed; `url` is where it runs."""

    def __init__(self, state_dir: Path, *, nodes: int = 2) -> None:
        self.state_dir = state_dir
        self.nodes = nodes
        self.url = ""
        self.output: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._told = threading.Event()

    def start(self) -> None:
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in NOT_PASSED_ON and not name.endswith(("_URL", "_API_KEY")) and not name.startswith("PAYPAL_")
        }
        environment |= {"STATE_DIR": str(self.state_dir), "NODES": str(self.nodes), "PORT": str(free_port())}
        environment["MAKELEVEL"] = "1"  # as below make: it ends with its parent, should this process be killed
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lib.local.run"],
            cwd=CHECKOUT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._told.wait(READY_S) or not self.url:
            self.stop()
            raise AssertionError("The installation did not start:\n" + "".join(self.output))

    def _read(self) -> None:
        assert self._process
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                self.output.append(line)
                if found := RUNS_AT.search(re.sub(r"\x1b\[[0-9;]*m", "", line)):
                    self.url = found.group(1)
                    self._told.set()
        self._told.set()

    def stop(self) -> int:
        """End it in order. Returns its exit status."""
        assert self._process
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise
        self._reader.join(STOP_S)
        return self._process.returncode

    def agent_pid(self, node: str) -> int:
        """The process of a node's agent, found by its command line."""
        for pid, line in command_lines():
            if "catalyst.agent" in line and node in line and any(str(self.state_dir) in part for part in line):
                return pid
        raise AssertionError(f"there is no agent of {node}")

    def manage(self, *arguments: str) -> str:
        """`manage.py` beside the running installation."""
        environment = {**os.environ, "STATE_DIR": str(self.state_dir), **self._run_env()}
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def value(self, name: str) -> str:
        """A value of the installation's environment."""
        return self._run_env()[name]

    def _run_env(self) -> dict[str, str]:
        lines = (self.state_dir / "run.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)
