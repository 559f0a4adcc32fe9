"""A job to see pods live and come back: it counts, and carries a checksum over all steps that no restart may change.

Each step does real work: the checksum of step n is sha256(checksum of step n - 1, n). Whoever resumes from the wrong
place, or skips or repeats a step, ends with another checksum. Standard library only; any Python 3.8 or newer runs it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from typing import Any


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Counter:
    def __init__(self, checkpoints: str, state: dict[str, Any]) -> None:
        self.checkpoints = checkpoints
        self.step: int = state["step"]
        self.checksum: str = state["checksum"]
        self.resumed = self.step > 0
        self.saved = self.step
        self.checkpoint_asked = False
        self.leave_asked = False

    def advance(self) -> None:
        self.step += 1
        self.checksum = hashlib.sha256(f"{self.checksum} {self.step}".encode()).hexdigest()[:16]
        say(f"step {self.step} checksum {self.checksum}")
        say(f"CATALYST_STEP {self.step}")

    def save(self) -> None:
        """Written under another name, then renamed: a checkpoint is whole or not there."""
        if not self.checkpoints or self.step == self.saved:
            return
        target = os.path.join(self.checkpoints, f"step-{self.step}")
        new = os.path.join(self.checkpoints, f".new-{self.step}-{os.getpid()}")
        shutil.rmtree(target, ignore_errors=True)
        os.makedirs(new)
        with open(os.path.join(new, "state.json"), "w") as file:
            json.dump({"step": self.step, "checksum": self.checksum}, file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, target)
        self.saved = self.step
        say(f"checkpoint at step {self.step}")


def load() -> dict[str, Any]:
    folder = os.environ.get("CATALYST_RESUME_FROM", "")
    if not folder:
        return {"step": 0, "checksum": "0" * 16}
    with open(os.path.join(folder, "state.json")) as file:
        state: dict[str, Any] = json.load(file)
    return state


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=5.0, help="steps a second")
    parser.add_argument("--checkpoint-every", type=int, default=10, metavar="N", help="steps between checkpoints")
    parser.add_argument("--steps", type=int, default=0, help="end well after this step (0: count for ever)")
    parser.add_argument("--crash-at", type=int, default=0, help="die at this step of a run that was not resumed")
    given = parser.parse_args()
    if not 0 < given.rate <= 1000 or given.checkpoint_every < 1:
        parser.error("--rate must be above 0 and at most 1000, --checkpoint-every at least 1")
    return given


def count(counter: Counter, given: argparse.Namespace) -> None:
    begun, done = time.monotonic(), 0
    while not given.steps or counter.step < given.steps:
        if counter.leave_asked:
            break
        counter.advance()
        if counter.step == given.crash_at and not counter.resumed:
            say(f"crashing at step {counter.step}, as asked")
            os.kill(os.getpid(), signal.SIGKILL)
        if counter.checkpoint_asked or counter.step % given.checkpoint_every == 0:
            counter.checkpoint_asked = False
            counter.save()
        done += 1
        time.sleep(max(0.0, begun + done / given.rate - time.monotonic()))


def main() -> None:
    given = options()
    state = load()
    counter = Counter(os.environ.get("CATALYST_CHECKPOINT_DIR", ""), state)

    def checkpoint_now(*_: object) -> None:
        counter.checkpoint_asked = True

    def leave(*_: object) -> None:
        counter.leave_asked = True

    signal.signal(signal.SIGUSR1, checkpoint_now)
    signal.signal(signal.SIGTERM, leave)
    begin = "resumed at" if counter.resumed else "starting from"
    say(f"{begin} step {counter.step} checksum {counter.checksum}")
    count(counter, given)
    counter.save()
    if counter.leave_asked:
        say(f"leaving at step {counter.step} checksum {counter.checksum}")
        sys.exit(143)
    say(f"done: {counter.step} steps, checksum {counter.checksum}")


if __name__ == "__main__":
    main()
