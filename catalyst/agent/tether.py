"""The agent's end of a keeper: start one or find one again, tell it what to do, wait for what it says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import catalyst.agent
from catalyst.agent.files import read_json
from catalyst.agent.runtimes.docker import OWN_VARIABLES

PACKAGES = Path(catalyst.agent.__file__).resolve().parents[2]
PACKET_BYTES = 64 * 1024
CONNECT_TIMEOUT_S = 2.0


class Status(TypedDict):
    """See catalyst.agent.keeper: the keeper always tells all of it."""

    keeper: int
    run: int
    pid: int | None
    alive: bool
    exit_code: int | None
    signal: int | None
    lived_s: float
    n: int
    first_n: int
    step: int | None
    fenced: bool


def last_status(folder: Path) -> Status | None:
    """What the keeper of the folder wrote down last."""
    status: Status | None = read_json(folder / "status.json")
    return status


class Tether:
    """`heard` is called whenever the keeper said something new, or was lost."""

    def __init__(self, connection: socket.socket, heard: Callable[[], None]) -> None:
        self.status: Status | None = None
        self.lost = False
        self._connection = connection
        self._connection.setblocking(False)
        self._heard = heard
        self._changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._connection, self._receive)

    @classmethod
    def start(cls, folder: Path, fence_s: float, heard: Callable[[], None]) -> tuple[Tether, subprocess.Popen[bytes]]:
        """A new keeper, in a session of its own: what ends the agent does not end it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        own = {key: os.environ[key] for key in OWN_VARIABLES if key in os.environ}
        with theirs, (folder / "keeper.err").open("ab") as errors:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-S",
                    "-m",
                    "catalyst.agent.keeper",
                    str(folder),
                    f"{fence_s:g}",
                    str(theirs.fileno()),
                ],
                env=own | {"PYTHONPATH": str(PACKAGES), "PYTHONSAFEPATH": "1"},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        return cls(ours, heard), process

    @classmethod
    async def find(cls, folder: Path, heard: Callable[[], None]) -> Tether | None:
        """The keeper that an earlier agent left; None when it is gone."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # The path of a unix socket is short; the folder's own descriptor stands for a long one.
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{descriptor}/keeper.sock")
        except OSError:
            connection.close()
            return None
        finally:
            os.close(descriptor)
        tether = cls(connection, heard)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await tether.wait(lambda _: True)
        if tether.status is None:
            tether.close()
            return None
        return tether

    def _receive(self) -> None:
        try:
            packet = self._connection.recv(PACKET_BYTES)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if packet:
            self.status = json.loads(packet)
        else:
            self.close()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        self._heard()

    async def wait(self, ready: Callable[[Status], bool]) -> bool:
        """Until the status is `ready`; False when the keeper was lost first."""
        while True:
            if self.status is not None and ready(self.status):
                return True
            if self.lost:
                return False
            await self._changed.wait()

    def close(self) -> None:
        if not self.lost:
            self.lost = True
            asyncio.get_running_loop().remove_reader(self._connection)
            self._connection.close()
            self._changed.set()

    @property
    def alive(self) -> bool:
        """Whether the pod's process runs, as far as its keeper has told."""
        return not self.lost and self.status is not None and self.status["alive"]

    def launch(self) -> None:
        self._send({"do": "launch"})

    def signal(self, number: signal.Signals) -> None:
        self._send({"do": "signal", "signal": int(number)})

    def note(self, text: str) -> None:
        self._send({"do": "note", "text": text})

    def assure(self) -> None:
        """The agent lives: hold the fence open."""
        self._send({"do": "alive"})

    async def end(self) -> None:
        """End the process, if any, and the keeper."""
        self._send({"do": "end"})
        await self.wait(lambda _: False)

    def _send(self, message: dict[str, object]) -> None:
        if not self.lost:
            with contextlib.suppress(OSError):  # its end is closed: the reader tells
                self._connection.send(json.dumps(message).encode())
