"""What the person who typed `make run` sees: one line for each step, a summary, and what happens later."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress


class Console:
    def __init__(self) -> None:
        self._coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.started = time.monotonic()

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._coloured else text

    @staticmethod
    def now() -> float:
        return time.monotonic()

    def line(self, text: str = "") -> None:
        with suppress(OSError):  # the terminal may be gone; stopping in order matters more
            print(text, flush=True)

    def step(self, title: str, seconds: float) -> None:
        self.line(f"  {self._paint('32', '✓')} {title:<32}{self._paint('2', f'{seconds:6.1f} s')}")

    def trouble(self, text: str) -> None:
        self.line(f"  {self._paint('33', '!')} {text}")

    def failed(self, text: str) -> None:
        self.line(f"  {self._paint('31', '✗')} {text}")

    def heading(self, text: str) -> None:
        self.line(self._paint("1", text))

    def fact(self, name: str, value: str) -> None:
        self.line(f"  {self._paint('2', f'{name:<10}')}{value}")
