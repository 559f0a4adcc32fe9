"""Small files that must never be seen half written, and folders that belong to a stranger."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """The value in the file; None when there is no such file or its writer died before the first whole version."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def write_json(path: Path, value: object, *, durable: bool = False) -> None:
    """Replace the file at once; readable by its owner alone. `durable` outlives a loss of power."""
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(value, file)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(new, path)


def give(path: Path, uid: int, gid: int) -> None:
    """Make the folder and all in it belong to the user; links are changed themselves, not what they point at."""
    os.chown(path, uid, gid, follow_symlinks=False)
    for _, folders, files, descriptor in os.fwalk(path):
        for name in folders + files:
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode) or found.st_nlink == 1:  # a second name may be a file of somebody else
                os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)


def remove(path: Path) -> None:
    """Remove the folder with all in it; what is gone already is fine."""
    shutil.rmtree(path, ignore_errors=True)


def used_bytes(path: Path) -> int:
    """Disk blocks in use below the folder."""
    total = 0
    for _, _, names, descriptor in os.fwalk(path, onerror=None):
        for name in names:
            try:
                total += os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_blocks * 512
            except OSError:
                continue
    return total
