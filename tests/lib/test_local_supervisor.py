"""The supervisor, on small programs of the test's own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

LIMIT_S = 15.0


def until(condition: Callable[[], object]) -> None:
    """Poll: processes of others tell nobody when they change."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


class SmallRun:
    def __init__(self, state: Path, *programs: str) -> None:
        self.state = state
        argv = [sys.executable, "-m", "tests.lib.small_run", str(state), *programs]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.children: dict[str, psutil.Process] = {}

    def wait_until_up(self) -> SmallRun:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "everything is up" in line:
                self.children = self.read_children()
                return self
        raise AssertionError("it ended before everything was up")

    def read_children(self) -> dict[str, psutil.Process]:
        rows = json.loads((self.state / "processes.json").read_text())
        living = {name: row[0] for name, row in rows.items() if psutil.pid_exists(row[0])}
        return {name: psutil.Process(pid) for name, pid in living.items()}

    def end(self, number: int) -> str:
        self.process.send_signal(number)
        return self.process.communicate(timeout=LIMIT_S)[0]

    def living(self) -> list[str]:
        return [name for name, child in self.children.items() if child.is_running()]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., SmallRun]]:
    runs: list[SmallRun] = []

    def start(*programs: str) -> SmallRun:
        runs.append(SmallRun(tmp_path, *programs))
        return runs[-1]

    yield start
    for each in runs:
        if each.process.poll() is None:
            each.end(signal.SIGTERM)
        each.process.communicate()
        for child in each.children.values():
            if child.is_running():
                child.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_leaves_no_process(run: Callable[..., SmallRun], number: int) -> None:
    small = run("waits").wait_until_up()
    assert small.living() == ["waits"]
    said = small.end(number)
    assert small.process.returncode == 0
    assert "Stopped in" in said
    assert small.living() == []
    assert not (small.state / "processes.json").exists()


def test_what_does_not_listen_is_killed(run: Callable[..., SmallRun]) -> None:
    small = run("deaf").wait_until_up()
    small.end(signal.SIGTERM)
    assert small.living() == []


def test_stopping_goes_backwards(run: Callable[..., SmallRun]) -> None:
    small = run("first", "second").wait_until_up()
    small.end(signal.SIGTERM)
    assert (small.state / "order").read_text().split() == ["second", "first"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_children_end_with_a_killed_supervisor(run: Callable[..., SmallRun]) -> None:
    small = run("waits").wait_until_up()
    small.end(signal.SIGKILL)
    until(lambda: small.living() == [])


def test_the_next_start_ends_what_a_killed_supervisor_left(run: Callable[..., SmallRun]) -> None:
    small = run("deaf").wait_until_up()
    small.end(signal.SIGKILL)
    assert small.living() == ["deaf"]
    again = run("waits").wait_until_up()
    assert small.living() == []
    assert again.living() == ["waits"]


def test_a_pid_that_went_to_somebody_else_is_left_alone(run: Callable[..., SmallRun], tmp_path: Path) -> None:
    stranger = psutil.Process()
    rows = {"waits": [stranger.pid, stranger.create_time() - 3600, int(signal.SIGTERM)]}
    (tmp_path / "processes.json").write_text(json.dumps(rows))
    run("waits").wait_until_up()
    assert stranger.is_running()


def test_a_child_that_dies_is_started_again(run: Callable[..., SmallRun]) -> None:
    small = run("waits").wait_until_up()
    first = small.children["waits"]
    first.kill()
    until(lambda: small.read_children().get("waits", first) != first)
    small.children = small.read_children()
    assert "died of signal 9" in small.end(signal.SIGTERM)
    assert small.living() == []


def test_what_has_to_run_once_is_not_started_again(run: Callable[..., SmallRun]) -> None:
    small = run("done", "waits").wait_until_up()
    assert "started again" not in small.end(signal.SIGTERM)
    assert small.process.returncode == 0


def test_a_program_that_cannot_start_is_named_with_the_end_of_its_log(run: Callable[..., SmallRun]) -> None:
    small = run("waits", "fails")
    said = small.process.communicate(timeout=LIMIT_S)[0]
    assert small.process.returncode == 1
    assert "fails ended with 3" in said
    assert "no such flag" in said


def test_a_second_supervisor_of_the_same_folder_is_refused(run: Callable[..., SmallRun]) -> None:
    first = run("waits").wait_until_up()
    second = run("waits")
    assert "It runs already" in second.process.communicate(timeout=LIMIT_S)[0]
    assert first.living() == ["waits"]
