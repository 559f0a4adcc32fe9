"""`python -m benchmarks [name…]`: start throw-away servers with durable settings, measure, print the table."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.report import Row, print_table
from lib.local.ports import free_port
from lib.local.postgres import OWNER, Postgres
from lib.local.process import Program, spawn, stop_all
from lib.local.valkey import Valkey
from tests.servers import wait_until

ROOT = Path(__file__).resolve().parent.parent
NOT_MEASURED = {"__init__", "__main__", "report"}


def main() -> None:
    names = sorted(file.stem for file in Path(__file__).parent.glob("*.py") if file.stem not in NOT_MEASURED)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Figures beside their references.")
    parser.add_argument("name", nargs="*", choices=[*names, []], help="which ones; all when none is named")
    wanted = parser.parse_args().name or names
    # Not in /tmp, which may be memory: a commit has to reach the disk that the product would use.
    (ROOT / ".local").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=ROOT / ".local"))
    postgres = Postgres(folder / "pg", folder / "secrets", free_port())
    valkey = Valkey(folder / "valkey", folder / "secrets", free_port())
    children = []
    try:
        for program in (postgres.program(), valkey.program()):
            children.append((_start(program, folder), program.stop_signal))
        os.environ.update(_environment(folder, postgres, valkey))
        print_table(_measure(wanted))
    finally:
        stop_all(children, limit_s=10.0)
        shutil.rmtree(folder, ignore_errors=True)


def _start(program: Program, folder: Path) -> subprocess.Popen[bytes]:
    log = folder / f"{program.name}.log"
    child = spawn(program, log)
    if program.ready:
        wait_until(program.ready, child, log)
    return child


def _environment(folder: Path, postgres: Postgres, valkey: Valkey) -> dict[str, str]:
    return {
        "MODE": "SANDBOX",
        "STATE_DIR": str(folder),
        "DATABASE_URL": postgres.url(),
        "DATABASE_OWNER_URL": postgres.url(OWNER),
        "REDIS_URL": valkey.url,
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }


def _measure(names: list[str]) -> list[Row]:
    import django

    owner = {**os.environ, "DATABASE_URL": os.environ["DATABASE_OWNER_URL"]}
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=owner, check=True)
    django.setup()
    rows: list[Row] = []
    for name in names:
        print(f"{name} …", flush=True)
        rows += importlib.import_module(f"benchmarks.{name}").run()
    return rows


if __name__ == "__main__":
    main()
