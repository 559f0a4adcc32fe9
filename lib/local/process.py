"""One child process: what to run, start it, end it, and know it again after its parent was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import psutil

LAUNCHER = Path(__file__).with_name("launch.py")
# A start time is computed from the clock at boot, which time synchronisation may move a little.
START_TIME_TOLERANCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Program:
    """A row of the supervisor's table. `ready` is asked until it says True; `identity` is one of launch.IDENTITIES."""

    name: str
    argv: tuple[str, ...]
    title: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None
    once: bool = False  # ready when it ended with 0; never started again
    stop_signal: signal.Signals = signal.SIGTERM
    restart_after_s: float = 1.0
    identity: str = "same"
    output: Path | None = None  # where standard output goes instead of the log; only we may read it


def spawn(program: Program, log: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start in a session of its own, so that Ctrl-C reaches the supervisor alone. Output is appended to `log`.

    The child gets `stop_signal` when the calling thread ends, so call it from a thread that lives as long as the child.
    """
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER), "--parent", str(os.getpid())]
    launcher += ["--death-signal", str(int(program.stop_signal)), "--identity", program.identity, "--"]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as told, _open_private(program.output) as output:
        return subprocess.Popen(
            [*launcher, *program.argv],
            stdin=subprocess.DEVNULL,
            stdout=output or told,
            stderr=told,
            env={**(os.environ if environment is None else environment), **program.env},
            start_new_session=True,
        )


@contextmanager
def _open_private(file: Path | None) -> Iterator[BinaryIO | None]:
    if file is None:
        yield None
        return
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        yield opened


def stop_all(children: Iterable[tuple[subprocess.Popen[bytes], signal.Signals]], limit_s: float) -> list[int]:
    """Signal all at once, wait together, and kill the sessions of those that are still there after the limit.

    Gives the pids of those that had to be killed.
    """
    living = [(child, number) for child, number in children if child.poll() is None]
    for child, number in living:
        child.send_signal(number)
    deadline = time.monotonic() + limit_s
    killed = []
    for child, _ in living:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _kill_session(child.pid)
            child.wait()
            killed.append(child.pid)
    return killed


def _kill_session(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


class Records:
    """The children of this state folder by pid and start time, on disk, for the start after a `kill -9`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rows: dict[str, tuple[int, float, int]] = {}

    def add(self, program: Program, pid: int) -> None:
        try:
            started = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            return
        self._rows[program.name] = (pid, started, int(program.stop_signal))
        draft = self._file.with_suffix(".new")
        draft.write_text(json.dumps(self._rows))
        draft.replace(self._file)

    def clear(self) -> None:
        self._rows = {}
        self._file.unlink(missing_ok=True)

    def end_leftovers(self, limit_s: float = 3.0) -> list[str]:
        """End what a killed supervisor left running; the names of those. A pid that was given away is not touched."""
        try:
            rows: dict[str, tuple[int, float, int]] = json.loads(self._file.read_text())
        except (FileNotFoundError, ValueError):
            return []
        found = {name: process for name, row in rows.items() if (process := _same_process(row[0], row[1]))}
        for name, process in found.items():
            _signal(process, rows[name][2])
        end_processes(found.values(), limit_s)
        self.clear()
        return list(found)


def _same_process(pid: int, started: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < START_TIME_TOLERANCE_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _signal(process: psutil.Process, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def end_processes(processes: Iterable[psutil.Process], limit_s: float) -> None:
    """Wait for processes that were told to end and are not our children; kill those that do not."""
    _, alive = psutil.wait_procs(list(processes), timeout=limit_s)
    for process in alive:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=limit_s)
