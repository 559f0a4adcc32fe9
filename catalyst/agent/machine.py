"""The machine as it is: measured, never declared."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import psutil

from catalyst.agent.gpus import Gpus
from catalyst.agent.protocol import Gauges, Machine


def measure(state: Path, gpus: Gpus, runtimes: list[str]) -> Machine:
    return {
        "hostname": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "cpu_model": _cpu_model(),
        "cpus": psutil.cpu_count() or 1,
        "ram_bytes": psutil.virtual_memory().total,
        "disk_bytes": shutil.disk_usage(state).total,
        "gpus": gpus.measure(),
        "runtimes": runtimes,
    }


def gauges(gpus: Gpus) -> Gauges:
    """Load of the whole machine since the last call."""
    return {
        "cpu_percent": psutil.cpu_percent(interval=None),
        "ram_used_bytes": psutil.virtual_memory().used,
        "gpus": gpus.gauges(),
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
