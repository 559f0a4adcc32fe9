"""A supervisor with other programs than ours: `python -m tests.lib.small_run STATE_DIR [PROGRAM…]`."""

from __future__ import annotations

import sys
from pathlib import Path

from lib.local.console import Console
from lib.local.process import Program
from lib.local.supervisor import Stage, StartFailed, Supervisor

WAITS = "import signal; signal.pause()"
# Writes its name where the test looks for the order in which programs ended.
TELLS = """
import pathlib, signal, sys
def end(*_):
    with pathlib.Path(sys.argv[1]).open("a") as file: print(sys.argv[2], file=file)
    sys.exit()
signal.signal(signal.SIGTERM, end)
pathlib.Path(sys.argv[3]).touch()
signal.pause()
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)\nwhile True: signal.pause()"
FAILS = "print('no such flag'); raise SystemExit(3)"


def make(kind: str, state: Path) -> Program:
    if kind in {"first", "second"}:
        up = state / f"{kind}.up"
        argv = (sys.executable, "-c", TELLS, str(state / "order"), kind, str(up))
        return Program(kind, argv, ready=up.exists)
    code = {"waits": WAITS, "deaf": DEAF, "fails": FAILS, "done": "pass"}[kind]
    log = state / "logs" / f"{kind}.log"
    ready = None if kind in {"waits", "done"} else lambda: "deaf" in log.read_text()
    return Program(kind, (sys.executable, "-c", code), kind, once=kind == "done", restart_after_s=0.1, ready=ready)


def main() -> None:
    state = Path(sys.argv[1])
    stages = [Stage(lambda kind=kind: [make(kind, state)], stop_limit_s=1.0) for kind in sys.argv[2:]]  # type: ignore[misc]
    try:
        console = Console()
        Supervisor(state, console).run(lambda: stages, lambda: console.line("everything is up"))
    except StartFailed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
