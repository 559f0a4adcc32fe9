"""Pods as processes of this machine: inside bubblewrap where it works, bare only on the owner's own sandbox node.

Bubblewrap gives the pod its own view of files (system folders read-only, its own two folders writable), of processes and
users. The network is the machine's: pods must reach the world, and their ports must be reached.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from catalyst.agent.config import Config
from catalyst.agent.files import give
from catalyst.agent.protocol import Limits
from catalyst.agent.runtimes.base import CannotRun, Launch, Order, contract, defaults, port_names

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
JOBS = Path(__file__).resolve().parents[1] / "jobs"
JOB_PREFIX = "catalyst-job:"
SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/sys")
DEVICES = ("/dev/nvidia*", "/dev/dri", "/dev/kfd")
BUBBLEWRAP_LEVELS = 2  # its monitor, and the first process of the namespace
ADDRESS_SPACE_FACTOR = 4  # programs reserve far more than they use; the RAM itself is watched by the agent
PROBE_TIMEOUT_S = 5.0


@dataclasses.dataclass(frozen=True)
class User:
    name: str
    uid: int
    gid: int


class ProcessRuntime:
    name = "process"

    def __init__(self, config: Config) -> None:
        self.bare_allowed = config.sandbox_local
        self.user = _user(config.run_as)
        self.bubblewrap = shutil.which("bwrap")
        if self.bubblewrap and not self._bubblewrap_works():
            self.bubblewrap = None

    @property
    def available(self) -> bool:
        return bool(self.bubblewrap or self.bare_allowed)

    def prepare(self, order: Order) -> Launch:
        argv, notes = self._command(order)
        user, note = self._user_for(order, argv[0])
        notes += note
        sandboxed = self.bubblewrap is not None and user == self.user
        if not sandboxed and not self.bare_allowed:
            raise CannotRun("this node runs pods in a sandbox only, and its sandbox cannot reach the pod's files")
        if sandboxed:
            argv = self._wrap(argv, order)
        return Launch(
            run=order.run,
            argv=argv,
            env=self._environment(order),
            cwd=str(order.folder.work),
            uid=user.uid if user else None,
            gid=user.gid if user else None,
            rlimits=rlimits(order.spec["limits"], user, gpus=order.gpus),
            wrappers=BUBBLEWRAP_LEVELS if sandboxed else 0,
            notes=notes,
        )

    def clear(self, pod: str, leader: int | None) -> None:
        """The leader dies with its keeper; the rest of its session is ended here."""
        for entry in Path("/proc").iterdir():
            if leader and entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if os.getsid(int(entry.name)) == leader:
                        os.kill(int(entry.name), signal.SIGKILL)

    def roots(self, pod: str, keeper: int) -> list[int]:
        return [keeper]

    def _command(self, order: Order) -> tuple[list[str], list[str]]:
        """The command with a whole path, and what has to be said about it."""
        argv = ship_job(order.spec["command"], order.folder.jobs, order.folder.jobs)
        program = shutil.which(argv[0], path=SEARCH_PATH)
        if "/" in argv[0]:
            program = str(order.folder.work / argv[0])
        if program is None and Path(argv[0]).name in ("python", "python3"):
            program = os.path.realpath(sys.executable)
            return [program, *argv[1:]], [
                f"this machine has no {argv[0]} of its own: the agent's {program} runs the pod"
            ]
        if program is None:
            raise CannotRun(f"no program {argv[0]} on this machine")
        return [program, *argv[1:]], []

    def _user_for(self, order: Order, program: str) -> tuple[User | None, list[str]]:
        """The pod's user, if it can reach the pod's files and program; else our own, with a warning."""
        if self.user is None:
            return None, []
        folder = order.folder
        if order.run == 1:
            for path in (folder.work, folder.checkpoints):
                give(path, self.user.uid, self.user.gid)
        test = 'test -x "$1" && test -w "$2" && test -w "$3"'
        argv = ["/bin/sh", "-c", test, "sh", program, str(folder.work), str(folder.checkpoints)]
        if _succeeds(argv, self.user):
            return self.user, []
        closed = f"user {self.user.name} cannot reach {program} or {folder.path} (a folder above is closed to others)"
        return None, [f"WARNING: {closed}: the pod runs as root, without a sandbox"]

    def _environment(self, order: Order) -> dict[str, str]:
        work = order.folder.work
        own = {"PATH": SEARCH_PATH, "HOME": str(work), "TMPDIR": str(work / "tmp")}
        cards = order.spec["limits"].get("gpus")
        visible = {} if cards is None else {"CUDA_VISIBLE_DEVICES": ",".join(str(card) for card in cards)}
        return (
            own
            | defaults(order)
            | order.spec["env"]
            | visible
            | port_names(order.ports)
            | contract(order, order.folder.checkpoints)
        )

    def _wrap(self, argv: list[str], order: Order) -> list[str]:
        folder = order.folder
        binds = ["--bind", f"{folder.work}/tmp", "/tmp"]  # noqa: S108 (inside the sandbox, the pod's own)
        binds += ["--ro-bind", str(folder.jobs), str(folder.jobs)]
        for path in (str(folder.work), str(folder.checkpoints)):
            binds += ["--bind", path, path]
        return [*self._bubblewrap(), *binds, "--chdir", str(folder.work), "--", *argv]

    def _bubblewrap(self) -> list[str]:
        argv = [str(self.bubblewrap), "--die-with-parent", "--unshare-user", "--unshare-pid", "--unshare-ipc"]
        argv += ["--unshare-uts", "--unshare-cgroup-try", "--proc", "/proc", "--dev", "/dev"]
        for path in SYSTEM_FOLDERS:
            argv += ["--ro-bind-try", path, path]
        for pattern in DEVICES:
            for device in Path("/").glob(pattern[1:]):
                argv += ["--dev-bind", str(device), str(device)]
        return argv

    def _bubblewrap_works(self) -> bool:
        """Namespaces may be forbidden: only a run tells."""
        return _succeeds([*self._bubblewrap(), "--", "/bin/sh", "-c", "exit 0"], self.user)


def ship_job(command: list[str], source: Path, seen: Path | str) -> list[str]:
    """`catalyst-job:X` is a job that the agent brings along: its file is put into `source`, which the pod sees as `seen`."""
    if not command or not command[0].startswith(JOB_PREFIX):
        return list(command)
    name = command[0].removeprefix(JOB_PREFIX) + ".py"
    if "/" in name or not (JOBS / name).is_file():
        raise CannotRun(f"no job {command[0]}")
    shutil.copyfile(JOBS / name, source / name)
    (source / name).chmod(0o644)
    return ["python3", f"{seen}/{name}", *command[1:]]


def rlimits(limits: Limits, user: User | None, *, gpus: int) -> dict[str, int]:
    values = {"RLIMIT_CORE": 0}
    if limits.get("disk_bytes"):
        values["RLIMIT_FSIZE"] = limits["disk_bytes"]
    if limits.get("ram_bytes") and not gpus:  # CUDA maps all of the machine's memory
        values["RLIMIT_AS"] = limits["ram_bytes"] * ADDRESS_SPACE_FACTOR
    if limits.get("processes") and user is not None:
        # The kernel counts all tasks of the user, also those of other pods and programs.
        values["RLIMIT_NPROC"] = limits["processes"] + _tasks_of(user.uid)
    return values


def _tasks_of(uid: int) -> int:
    count = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                count += len(os.listdir(entry / "task")) if entry.stat().st_uid == uid else 0
    return count


def _user(name: str) -> User | None:
    """Who pods run as: the named user when we are root, else ourselves (None)."""
    if os.geteuid() != 0 or name == "root":
        return None
    entry = pwd.getpwnam(name)
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _succeeds(argv: list[str], user: User | None) -> bool:
    try:
        done = subprocess.run(
            argv,
            cwd="/",
            env={"PATH": SEARCH_PATH},
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
