"""Starts programs in stages, starts again those that die, and ends them in the opposite order.

One thread and no event loop: a child is tied to the thread that started it, and every decision is in `_tick`.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

from lib.local.console import Console
from lib.local.process import Program, Records, spawn, stop_all

TICK_S = 0.1
LONGEST_PAUSE_S = 30.0
# After that long without dying a program is taken for well, and its next death counts as the first.
WELL_AFTER_S = 60.0
DEATHS_ALLOWED_AT_START = 3
STOPPING_LIMIT_S = 12.0


class StartFailed(RuntimeError):
    """A part did not come up; the text says which, and has the last lines of its log."""


class StopRequested(Exception):
    """SIGINT, SIGTERM or SIGHUP came."""


class AlreadyRunning(RuntimeError):
    pass


@dataclass(frozen=True, slots=True)
class Stage:
    """Programs that start together. `programs` is called when the stage's turn has come, so it may look at earlier ones.

    `then` is called when all of them are ready. Time to stop that a stage does not use goes to those stopped after it.
    """

    programs: Callable[[], Sequence[Program]]
    then: Callable[[], None] = lambda: None
    ready_limit_s: float = 60.0
    stop_limit_s: float = 3.0


@dataclass(slots=True)
class Child:
    program: Program
    process: Popen[bytes]
    started: float
    deaths: int = 0
    start_again_at: float | None = None
    ready: bool = False


@dataclass(slots=True)
class Supervisor:
    state_dir: Path
    console: Console = field(default_factory=Console)
    _stages: list[tuple[Stage, list[Child]]] = field(default_factory=list)
    _signals: StopSignals | None = None
    _records: Records = field(init=False)

    def __post_init__(self) -> None:
        self._records = Records(self.state_dir / "processes.json")

    @property
    def logs(self) -> Path:
        return self.state_dir / "logs"

    def run(self, plan: Callable[[], Sequence[Stage]], when_ready: Callable[[], None]) -> None:
        """Until a signal asks to stop. Raises StartFailed, AlreadyRunning; nothing is left running in any case.

        `plan` is called when this run is the only one and nothing of an earlier one is left: ports are free then.
        """
        with only_one(self.state_dir) as say_stopping, StopSignals() as self._signals:
            self._clear_away()
            try:
                for stage in plan():
                    self._start(stage)
                when_ready()
                while True:
                    self._tick()
            except StopRequested:
                self.console.line("\nStopping …")
            finally:
                say_stopping()
                self.stop()

    def wait_until(
        self, condition: Callable[[], bool], *, limit_s: float, what: Callable[[], str], every_s: float = TICK_S
    ) -> None:
        """Keep the children going until `condition` holds. Raises StartFailed with what `what` says after the limit."""
        deadline = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > deadline:
                raise StartFailed(what())
            ask_again = time.monotonic() + every_s
            while time.monotonic() < ask_again:
                self._tick()

    def stop(self) -> None:
        if not self._stages:
            return
        began = time.monotonic()
        later = sum(stage.stop_limit_s for stage, _ in self._stages)
        deadline = began + later
        for stage, children in reversed(self._stages):
            later -= stage.stop_limit_s
            limit_s = deadline - later - time.monotonic()  # its own, and what those before it left over
            killed = stop_all([(child.process, child.program.stop_signal) for child in children], limit_s)
            if names := [child.program.name for child in children if child.process.pid in killed]:
                self.console.trouble(f"Killed after {limit_s:.1f} s: {', '.join(names)}.")
        self._stages.clear()
        self._records.clear()
        self.console.line(f"Stopped in {time.monotonic() - began:.1f} s.")

    def _clear_away(self) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        if names := self._records.end_leftovers():
            self.console.trouble(f"Ended what an earlier run left behind: {', '.join(names)}.")
        for log in self.logs.glob("*.log"):
            log.replace(log.with_suffix(".log.1"))

    def _start(self, stage: Stage) -> None:
        children: list[Child] = []
        self._stages.append((stage, children))
        for program in stage.programs():
            children.append(self._spawn(program))
        self.wait_until(
            lambda: self._all_ready(children),
            limit_s=stage.ready_limit_s,
            what=lambda: self._describe(next(child for child in children if not child.ready), "is not ready"),
        )
        stage.then()

    def _spawn(self, program: Program) -> Child:
        process = spawn(program, self.logs / f"{program.name}.log")
        self._records.add(program, process.pid)
        return Child(program, process, time.monotonic())

    def _all_ready(self, children: list[Child]) -> bool:
        answers = [self._look(child) for child in children]  # all are asked, so that each is told in its time
        return all(answers)

    def _look(self, child: Child) -> bool:
        """Whether the child has become ready; tells it once."""
        if not child.ready and self._has_become_ready(child):
            child.ready = True
            if child.program.title:
                self.console.step(child.program.title, time.monotonic() - child.started)
        return child.ready

    @staticmethod
    def _has_become_ready(child: Child) -> bool:
        if child.program.once:
            return child.process.poll() == 0
        return child.process.poll() is None and (child.program.ready is None or child.program.ready())

    def _tick(self) -> None:
        assert self._signals is not None
        self._signals.wait(TICK_S)
        for _, children in self._stages:
            for child in children:
                self._care_for(child)

    def _care_for(self, child: Child) -> None:
        code = child.process.poll()
        if code is None or (child.program.once and code == 0):
            return
        if child.start_again_at is None:
            self._note_death(child, code)
        elif time.monotonic() >= child.start_again_at:
            renewed = self._spawn(child.program)
            child.process, child.started, child.start_again_at = renewed.process, renewed.started, None
            if child.ready:
                self.console.trouble(f"{child.program.name} started again.")

    def _note_death(self, child: Child, code: int) -> None:
        now = time.monotonic()
        child.deaths = 1 if now - child.started > WELL_AFTER_S else child.deaths + 1
        how = f"died of signal {-code}" if code < 0 else f"ended with {code}"
        if not child.ready and (child.program.once or child.deaths >= DEATHS_ALLOWED_AT_START):
            raise StartFailed(self._describe(child, how))
        pause = min(child.program.restart_after_s * 2 ** (child.deaths - 1), LONGEST_PAUSE_S)
        child.start_again_at = now + pause
        self.console.trouble(f"{child.program.name} {how}; starting it again in {pause:.0f} s.")

    def _describe(self, child: Child, what: str) -> str:
        log = self.logs / f"{child.program.name}.log"
        tail = "\n".join(f"    {line}" for line in log.read_text(errors="replace").splitlines()[-12:])
        return f"{child.program.title or child.program.name} {what}. The end of {log}:\n{tail}"


class StopSignals:
    """Turns SIGINT, SIGTERM and SIGHUP into StopRequested at the next `wait`; a child's end wakes `wait` up."""

    STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._asked = False
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)

    def __enter__(self) -> StopSignals:
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in self.STOP:
            signal.signal(number, self._ask)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler, so that the wake-up happens
        return self

    def __exit__(self, *_: object) -> None:
        """The handlers stay: a second Ctrl-C does not cut the stopping short."""

    def _ask(self, *_: object) -> None:
        self._asked = True

    def wait(self, seconds: float) -> None:
        readable, _, _ = select.select([self._read], [], [], seconds)
        if readable:
            with suppress(BlockingIOError):
                os.read(self._read, 4096)
        if self._asked:
            raise StopRequested


@contextmanager
def only_one(state_dir: Path) -> Iterator[Callable[[], None]]:
    """One supervisor for each state folder; one that is about to stop is waited for. Raises AlreadyRunning.

    Gives a function to call when stopping begins.
    """
    with (state_dir / "supervisor.lock").open("a+") as file:
        deadline = time.monotonic() + STOPPING_LIMIT_S
        while not _locked(file.fileno()):
            file.seek(0)
            holder = file.read()
            if "stopping" not in holder or time.monotonic() > deadline:
                raise AlreadyRunning(
                    f"It runs already from {state_dir} (process {holder.split()[0] if holder else '?'})."
                )
            time.sleep(TICK_S)

        def write(text: str) -> None:
            file.seek(0)
            file.truncate()
            file.write(text)
            file.flush()

        write(str(os.getpid()))
        yield lambda: write(f"{os.getpid()} stopping")


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
