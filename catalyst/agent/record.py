"""What the agent must still know of a pod after its own restart."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from catalyst.agent.files import read_json, write_json
from catalyst.agent.protocol import FINAL_STATES, Reason, Spec, State


@dataclasses.dataclass
class Record:
    pod: str
    epoch: int
    spec: Spec
    runtime: str
    state: State = "starting"
    reason: Reason = ""
    exit_code: int | None = None
    signal: int | None = None
    restarts: int = 0  # failures in a row; healthy running forgets them
    run: int = 0  # launches in this epoch
    ports: dict[str, int] = dataclasses.field(default_factory=dict)
    step: int | None = None
    log_acked: int = 0
    # The last committed checkpoint of the pod, also of earlier epochs, and its folder here.
    sequence: int | None = None
    root: str | None = None
    folder: str | None = None

    @property
    def final(self) -> bool:
        return self.state in FINAL_STATES

    def save(self, path: Path) -> None:
        write_json(path, dataclasses.asdict(self))


def load_record(path: Path) -> Record | None:
    stored = read_json(path)
    return Record(**stored) if stored else None
