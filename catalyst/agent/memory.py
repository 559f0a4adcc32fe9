"""What the agent must not forget: commands that are done, epochs it has seen, states that nobody has acknowledged."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from catalyst.agent.files import read_json, write_json
from catalyst.agent.protocol import Done, StateMessage

COMMANDS_KEPT = 1000
EPOCHS_KEPT = 10_000
STATES_KEPT = 1000


class Commands:
    """Answers by the id of their command, on disk: a command that comes again is answered again and not repeated."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._answers: dict[str, Done] = {}
        lines = path.read_text().splitlines() if path.exists() else []
        for line in lines[-COMMANDS_KEPT:]:
            try:
                done: Done = json.loads(line)
            except ValueError:  # torn by a crash
                continue
            self._answers[done["id"]] = done
        self._rewrite()

    def _rewrite(self) -> None:
        self.path.touch(mode=0o600)
        self.path.write_text("".join(json.dumps(done) + "\n" for done in self._answers.values()))
        self._lines = len(self._answers)

    def find(self, command: str) -> Done | None:
        return self._answers.get(command)

    def add(self, done: Done) -> None:
        self._answers[done["id"]] = done
        with self.path.open("a") as file:
            file.write(json.dumps(done) + "\n")
        self._lines += 1
        while len(self._answers) > COMMANDS_KEPT:
            del self._answers[next(iter(self._answers))]
        if self._lines > 2 * COMMANDS_KEPT:
            self._rewrite()


class Epochs:
    """The highest epoch seen of each pod, also after its folder is removed: an older one never starts again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._epochs: dict[str, int] = read_json(path) or {}

    def get(self, pod: str) -> int:
        return self._epochs.get(pod, -1)

    def see(self, pod: str, epoch: int) -> None:
        self._epochs[pod] = max(epoch, self._epochs.pop(pod, -1))
        while len(self._epochs) > EPOCHS_KEPT:
            del self._epochs[next(iter(self._epochs))]
        write_json(self.path, self._epochs)


class Outbox:
    """States until they are acknowledged, in order. After a restart of the agent each pod's state is told anew."""

    def __init__(self, boot: str) -> None:
        self.boot = boot
        self.changed = asyncio.Event()
        self._count = 0
        self._waiting: dict[str, StateMessage] = {}

    def new_id(self) -> str:
        self._count += 1
        return f"{self.boot}-{self._count}"

    def put(self, message: StateMessage) -> None:
        self._waiting[message["id"]] = message
        while len(self._waiting) > STATES_KEPT:
            del self._waiting[next(iter(self._waiting))]
        self.changed.set()

    def ack(self, message: str) -> None:
        self._waiting.pop(message, None)
        self.changed.set()

    @property
    def waiting(self) -> list[StateMessage]:
        return list(self._waiting.values())
