"""What a pod uses: CPU and RAM of all its processes, disk of its folder."""

from __future__ import annotations

import contextlib
import dataclasses
import time

import psutil


@dataclasses.dataclass
class Usage:
    cpu_percent: float = 0.0  # 100 is one core
    ram_bytes: int = 0
    disk_bytes: int = 0


class Sampler:
    """CPU is the time that the processes took between two samples."""

    def __init__(self) -> None:
        self._cpu_s: dict[tuple[int, float], float] = {}
        self._at = time.monotonic()

    def sample(self, roots: list[int]) -> tuple[float, int]:
        """CPU percent since the last sample and resident bytes, of every process below the roots."""
        cpu_s: dict[tuple[int, float], float] = {}
        ram = 0
        for root in roots:
            with contextlib.suppress(psutil.Error):
                for process in psutil.Process(root).children(recursive=True):
                    with contextlib.suppress(psutil.Error), process.oneshot():
                        times = process.cpu_times()
                        cpu_s[process.pid, process.create_time()] = times.user + times.system
                        ram += process.memory_info().rss
        now = time.monotonic()
        used = sum(value - self._cpu_s.get(key, 0.0) for key, value in cpu_s.items())
        percent = 100 * used / max(now - self._at, 0.001)
        self._cpu_s, self._at = cpu_s, now
        return round(percent, 1), ram
