"""Where this installation keeps its state, and the values its supervisor wrote there."""

from __future__ import annotations

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent


def find_state_dir() -> Path:
    mode = os.environ.get("MODE", "SANDBOX").lower()
    return Path(os.environ.get("STATE_DIR") or BASE_DIR / ".local" / mode)


def load_run_env(state_dir: Path) -> None:
    """So that `manage.py` works beside a running `make run`; what the environment already says wins."""
    file = state_dir / "run.env"
    if not file.is_file():
        return
    for line in file.read_text().splitlines():
        name, sign, value = line.partition("=")
        if sign and not name.startswith("#"):
            os.environ.setdefault(name.strip(), value.strip())


def env(name: str, default: str = "") -> str:
    return os.environ.get(name, "") or default


def env_bool(name: str, default: bool) -> bool:
    return env(name, str(default)).lower() in {"1", "true", "yes", "on"}


def env_list(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in env(name, default).split(",") if part.strip()]
