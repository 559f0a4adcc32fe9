"""Rate limits of two kinds: so many requests in a window, and so many seconds between two requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class Window:
    name: str
    quota: int
    seconds: int
    began: float = 0.0
    used: int = 0

    def renew(self, now: float) -> None:
        if now - self.began >= self.seconds:
            self.began, self.used = now, 0


class Windows:
    """Fixed windows that are counted together, as the IETF draft's RateLimit headers describe them."""

    def __init__(self, quotas: Mapping[str, tuple[int, int]], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows = [Window(name, quota, seconds) for name, (quota, seconds) in quotas.items()]

    def take(self) -> int | None:
        """Count one request. Seconds to wait when a window is used up, else None."""
        now = self._clock()
        for window in self._windows:
            window.renew(now)
        full = [window for window in self._windows if window.used >= window.quota]
        if full:
            return max(self._reset_s(window, now) for window in full)
        for window in self._windows:
            window.used += 1
        return None

    def headers(self) -> dict[str, str]:
        now = self._clock()
        left = (f'"{w.name}";r={max(0, w.quota - w.used)};t={self._reset_s(w, now)}' for w in self._windows)
        policy = (f'"{w.name}";q={w.quota};w={w.seconds}' for w in self._windows)
        return {"RateLimit": ", ".join(left), "RateLimit-Policy": ", ".join(policy)}

    @staticmethod
    def _reset_s(window: Window, now: float) -> int:
        return max(0, int(window.began + window.seconds - now) + 1)


class Intervals:
    """A shortest time between two calls of one endpoint."""

    def __init__(self, seconds: Mapping[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._last: dict[str, float] = {}

    def take(self, endpoint: str) -> float | None:
        """Count a call. The endpoint's interval in seconds when it came too early, else None."""
        wanted = self._seconds.get(endpoint)
        if wanted is None:
            return None
        now = self._clock()
        if now - self._last.get(endpoint, -wanted) < wanted:
            return wanted
        self._last[endpoint] = now
        return None
