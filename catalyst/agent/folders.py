"""Where a pod lives on this machine."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

POD_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
STEP = re.compile(r"step-(\d{1,15})")


@dataclasses.dataclass(frozen=True)
class PodFolder:
    """`work` and `checkpoints` belong to the pod's user, everything else to the agent alone."""

    path: Path

    @property
    def record(self) -> Path:
        return self.path / "record.json"

    @property
    def work(self) -> Path:
        return self.path / "work"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def jobs(self) -> Path:
        return self.path / "jobs"

    def run(self, epoch: int) -> Path:
        return self.path / f"run-{epoch}"

    def make(self, epoch: int) -> None:
        # Others may pass through, not look: the pod's user must reach its own two folders.
        self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
        for folder in (self.work, self.work / "tmp", self.checkpoints, self.run(epoch)):
            folder.mkdir(mode=0o700, exist_ok=True)
        self.jobs.mkdir(mode=0o755, exist_ok=True)


def steps(checkpoints: Path) -> list[tuple[int, str]]:
    """Checkpoints in the folder as (step, name), oldest first. Anything not yet renamed into place has another name."""
    found = []
    for name in checkpoints.iterdir() if checkpoints.is_dir() else ():
        match = STEP.fullmatch(name.name)
        if match and name.is_dir() and not name.is_symlink():
            found.append((int(match[1]), name.name))
    return sorted(found)
