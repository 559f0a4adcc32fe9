"""Processes: finding all of a pod's, ending them, and becoming one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Orphans below this process become its children instead of init's, so that none is missed."""
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(root: int) -> dict[int, int]:
    """Every process below `root` with its depth (children have depth 1)."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b") ")[2].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(name))
    found: dict[int, int] = {}
    level, depth = children.get(root, []), 1
    while level:
        found.update(dict.fromkeys(level, depth))
        level, depth = [child for pid in level for child in children.get(pid, [])], depth + 1
    return found


def kill(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):  # it went by itself
        os.kill(pid, number)


def catches(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal."""
    try:
        with open(f"/proc/{pid}/status") as file:
            mask = next(line for line in file if line.startswith("SigCgt:"))
    except (OSError, StopIteration):
        return False
    return bool(int(mask.split()[1], 16) >> (number - 1) & 1)


def become(launch: dict[str, Any], out: int, err: int, keeper: int) -> None:
    """In the forked child: limits, user, streams, then the program. Does not return."""
    try:
        os.setsid()
        for fd, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
            os.dup2(fd, target)
        for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")  # under memory pressure the pod goes before the agent
        for name, wanted in launch["rlimits"].items():
            hard = resource.getrlimit(getattr(resource, name))[1]
            value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(getattr(resource, name), (value, value))
        os.nice(launch["nice"])
        if launch["uid"] is not None:
            os.setgroups([])
            os.setgid(launch["gid"])
            os.setuid(launch["uid"])
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # after setuid, which clears it
        if os.getppid() != keeper:
            os._exit(126)
        os.chdir(launch["cwd"])
        os.execve(launch["argv"][0], launch["argv"], launch["env"])
    except Exception as error:
        os.write(2, f"cannot start {launch['argv'][0]}: {error}\n".encode())
    finally:
        os._exit(127)
