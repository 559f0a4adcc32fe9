"""See the package."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from typing import Any

from catalyst.agent.keeper.output import READ_BYTES, Log, Pipe
from catalyst.agent.keeper.process import adopt_orphans, become, catches, descendants, kill

READS_PER_TURN = 16
KILL_TIMEOUT_S = 3.0
# A process that says more than this waits for its reader, as in front of any slow pipe; else it would take a core of ours.
PACE_LINES, PACE_S = 2000, 0.1
STEP_PREFIX = "CATALYST_STEP "


def write_atomically(path: str, value: object) -> None:
    with contextlib.suppress(OSError):  # the disk is full: the agent still gets it over the socket
        with open(path + ".new", "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            json.dump(value, file)
        os.replace(path + ".new", path)


class Keeper:
    def __init__(self, folder: str, fence_s: float) -> None:
        self.folder, self.fence_s = folder, fence_s
        self.log = Log(os.path.join(folder, "log"))
        self.selector = selectors.DefaultSelector()
        self.agent: socket.socket | None = None
        self.heard = time.monotonic()
        self.dirty = False
        self.over = False
        self.pipes: list[Pipe] = []
        self.launch: dict[str, Any] = {}
        self.started = 0.0
        self.paused = False
        self.pace_lines, self.pace_until = 0, 0.0
        self.status: dict[str, Any] = {
            "keeper": os.getpid(),
            "run": 0,  # how many times the pod was launched
            "pid": None,
            "alive": False,
            "exit_code": None,
            "signal": None,
            "lived_s": 0.0,  # how long the last run took
            "n": self.log.n,  # number of the last line
            "first_n": self.log.n + 1,  # number of the first line of this run
            "step": None,
            "fenced": False,
        }

    def serve(self) -> None:
        self._listen()
        self._save()
        while not self.over:
            left = self.heard + self.fence_s - time.monotonic()
            if left <= 0:
                self.status["fenced"] = True
                self.log.add("agent", f"no word from the agent for {self.fence_s:g} s: the pod is ended here")
                break
            for key, _ in self.selector.select(0.05 if self.dirty or self.paused else min(left, 1.0)):
                key.data()
            self._pace()
            self._send()
        self._kill()
        self.log.flush()
        self._save()
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self.folder, "keeper.sock"))
        self._send()

    def adopt(self, agent: socket.socket) -> None:
        """Take `agent` as the agent's end; a new one takes the place of the one before."""
        self._part()
        self.agent = agent
        self.agent.setblocking(False)
        self.selector.register(self.agent, selectors.EVENT_READ, self._hear)
        self.heard, self.dirty = time.monotonic(), True

    def _listen(self) -> None:
        wake_read, wake_write = os.pipe()
        for fd in (wake_read, wake_write):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        adopt_orphans()
        # The path of a unix socket is short; the folder's own descriptor stands for a long one.
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = f"/proc/self/fd/{folder}/keeper.sock"
        if os.path.lexists(path):
            os.unlink(path)
        self.door.bind(path)
        os.chmod(path, 0o600)
        self.door.listen(4)
        self.selector.register(self.door, selectors.EVENT_READ, lambda: self.adopt(self.door.accept()[0]))
        self.selector.register(wake_read, selectors.EVENT_READ, lambda: self._wake(wake_read))

    def _wake(self, fd: int) -> None:
        os.read(fd, READ_BYTES)
        self._reap()

    def _part(self) -> None:
        if self.agent is not None:
            self.selector.unregister(self.agent)
            self.agent.close()
            self.agent = None

    def _hear(self) -> None:
        if self.agent is None:
            return
        try:
            packet = self.agent.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._part()
            return
        self.heard = time.monotonic()
        message = json.loads(packet)
        if message["do"] == "launch" and not self.status["alive"]:
            self._launch()
        elif message["do"] == "signal":
            self._signal(message["signal"])
        elif message["do"] == "note":
            self.log.add("agent", message["text"])
            self._progress()
        elif message["do"] == "end":
            self.over = True

    def _launch(self) -> None:
        with open(os.path.join(self.folder, "launch.json")) as file:
            self.launch = json.load(file)
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        keeper = os.getpid()
        pid = os.fork()
        if pid == 0:
            become(self.launch, out_write, err_write, keeper)
        for fd in (out_write, err_write):
            os.close(fd)
        self.pipes = [Pipe(out_read, "stdout"), Pipe(err_read, "stderr")]
        self._attend()
        self.started = time.monotonic()
        self.status.update(run=self.launch["run"], pid=pid, alive=True, exit_code=None, signal=None)
        self.status["first_n"] = self.log.n + 1
        self._save()

    def _attend(self) -> None:
        for pipe in self.pipes:
            self.selector.register(pipe.fd, selectors.EVENT_READ, lambda pipe=pipe: self._read(pipe))

    def _pace(self) -> None:
        if time.monotonic() >= self.pace_until:
            self.pace_lines, self.pace_until = 0, time.monotonic() + PACE_S
            if self.paused:
                self.paused = False
                self._attend()
        elif self.pace_lines > PACE_LINES and not self.paused:
            self.paused = True
            for pipe in self.pipes:
                self.selector.unregister(pipe.fd)

    def _close(self, pipe: Pipe) -> None:
        if not self.paused:
            self.selector.unregister(pipe.fd)
        os.close(pipe.fd)
        self.pipes.remove(pipe)

    def _read(self, pipe: Pipe) -> bool:
        """Take what is there; False when there is nothing more to take now."""
        if pipe not in self.pipes:  # closed earlier in this turn
            return False
        lines, ended = pipe.read()
        for line in lines:
            self.log.add(pipe.stream, line)
            if pipe.stream == "stdout" and line.startswith(STEP_PREFIX):
                number = line[len(STEP_PREFIX) :].strip()
                self.status["step"] = int(number) if number.isdigit() and len(number) < 18 else self.status["step"]
        if lines:
            self.pace_lines += len(lines)
            self._progress()
        if ended:
            self._close(pipe)
        return bool(lines) and not ended

    def _progress(self) -> None:
        self.log.flush()
        self.status["n"], self.dirty = self.log.n, True

    def _signal(self, number: int) -> None:
        """To every process of the pod, but not to the runtime's wrappers: they would die of it and take the pod along."""
        if not self.status["alive"]:
            return
        if number == signal.SIGKILL:
            self._kill_elsewhere()
        depths = descendants(os.getpid())
        wrappers = 0 if number == signal.SIGKILL else self.launch["wrappers"]
        targets = [pid for pid, depth in depths.items() if depth > wrappers]
        if number == signal.SIGUSR1:  # its default is death: only for those who asked for it
            targets = [pid for pid in targets if catches(pid, number)]
        for pid in targets:
            kill(pid, number)

    def _kill_elsewhere(self) -> None:
        """Some runtimes hold the process outside of our tree (a container): end it there first."""
        argv = self.launch.get("kill_argv")
        if not argv:
            return
        pid = os.fork()
        if pid == 0:
            try:
                os.execvp(argv[0], argv)
            finally:
                os._exit(127)
        deadline = time.monotonic() + KILL_TIMEOUT_S
        while os.waitpid(pid, os.WNOHANG) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.005)

    def _reap(self) -> None:
        while True:
            try:
                pid, code = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.status["pid"] and self.status["alive"]:
                self._ended(os.waitstatus_to_exitcode(code))

    def _ended(self, code: int) -> None:
        """The process is over: nothing of it may run on beside its successor, and its last words come first."""
        self.status["alive"] = False
        self.status["lived_s"] = time.monotonic() - self.started
        self._kill()
        for pipe in list(self.pipes):
            for _ in range(READS_PER_TURN):
                if not self._read(pipe):
                    break
        for pipe in list(self.pipes):
            self._close(pipe)
        self.paused = False
        self.status.update(exit_code=code if code >= 0 else None, signal=-code if code < 0 else None)
        self._save()

    def _kill(self) -> None:
        deadline = time.monotonic() + KILL_TIMEOUT_S
        if self.status["alive"]:
            self._kill_elsewhere()
        while time.monotonic() < deadline:
            remaining = descendants(os.getpid())
            for pid in remaining:
                kill(pid, signal.SIGKILL)
            self._reap()
            if not remaining:
                return
            time.sleep(0.002)

    def _save(self) -> None:
        self.dirty = True
        write_atomically(os.path.join(self.folder, "status.json"), self.status)

    def _send(self) -> None:
        if not self.dirty or self.agent is None:
            self.dirty = self.dirty and self.agent is not None
            return
        try:
            self.agent.send(json.dumps(self.status).encode())
            self.dirty = False
        except BlockingIOError:
            pass
        except OSError:
            self._part()


def main() -> None:
    keeper = Keeper(sys.argv[1], float(sys.argv[2]))
    keeper.adopt(socket.socket(fileno=int(sys.argv[3])))
    keeper.serve()
    os._exit(0)  # the agent takes our end of the socket for our end


if __name__ == "__main__":
    main()
