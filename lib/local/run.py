"""`make run`: everything on this machine under one supervisor, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from lib.local.console import Console
from lib.local.installation import CHECKOUT, Installation, find_state_dir
from lib.local.launch import end_with_parent
from lib.local.ports import PortBusy, WrongSetting
from lib.local.postgres import PostgresFailed
from lib.local.programs import answers, stages, unready_parts
from lib.local.supervisor import AlreadyRunning, Stage, StartFailed, Supervisor

READY_LIMIT_S = 90.0


def main() -> int:
    os.chdir(CHECKOUT)
    if os.environ.get("MAKELEVEL"):
        end_with_parent(os.getppid(), signal.SIGTERM)  # a make that is killed leaves nothing behind
    console = Console()
    try:
        Run(console).run()
    except (AlreadyRunning, PortBusy, PostgresFailed, StartFailed, WrongSetting) as error:
        console.failed(str(error))
        return 1
    return 0


class Run:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._supervisor = Supervisor(find_state_dir(os.environ), console)
        self._installation: Installation | None = None

    def run(self) -> None:
        self._supervisor.run(self._plan, self._when_started)

    def _plan(self) -> Sequence[Stage]:
        self._installation = Installation.read(os.environ)
        self._console.heading(f"GPUBroker, {self._installation.mode}")
        os.environ.update(self._installation.environment())
        self._installation.write_run_env()
        return stages(self._installation)

    def _when_started(self) -> None:
        assert self._installation is not None
        installation = self._installation
        began = self._console.now()
        self._supervisor.wait_until(
            answers(f"{installation.local_url}/readiness"),
            limit_s=READY_LIMIT_S,
            every_s=0.5,
            what=lambda: f"Not ready after {READY_LIMIT_S:.0f} s. {unready_parts(installation)}. Logs: {self._logs()}",
        )
        self._console.step("Ready", self._console.now() - began)
        self._tell(installation)

    def _logs(self) -> Path:
        return shorten(self._supervisor.logs)

    def _tell(self, installation: Installation) -> None:
        console = self._console
        console.line()
        console.heading(f"GPUBroker runs at {installation.public_url}   ({console.now() - console.started:.1f} s)")
        console.line()
        if installation.sandbox:
            console.fact("Mode", "SANDBOX: made-up providers and payments, real pods on this machine")
        console.fact("Staff", f"{installation.public_url}/admin/")
        console.fact("", f"{installation.staff_email}, password in {shorten(installation.staff_password_file)}")
        console.fact("Logs", str(self._logs()))
        console.fact("Stop", "Ctrl-C; all data stays")
        console.line()


def shorten(path: Path) -> Path:
    return path.relative_to(CHECKOUT) if path.is_relative_to(CHECKOUT) else path


if __name__ == "__main__":
    sys.exit(main())
