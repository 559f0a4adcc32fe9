"""The GPUs of this machine by NVML. No NVIDIA driver means no GPUs: the library says so and we believe it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pynvml

from catalyst.agent.protocol import GpuGauge, MachineGpu

MEGABYTE = 1024 * 1024
T = TypeVar("T")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _read(read: Callable[[], T]) -> T | None:
    """A sensor that this card does not have reads None."""
    try:
        return read()
    except pynvml.NVMLError:
        return None


class Gpus:
    def __init__(self) -> None:
        try:
            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError:
            count = 0
        self.handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]

    def measure(self) -> list[MachineGpu]:
        driver = _text(pynvml.nvmlSystemGetDriverVersion()) if self.handles else ""
        return [
            {
                "index": index,
                "uuid": _text(pynvml.nvmlDeviceGetUUID(handle)),
                "name": _text(pynvml.nvmlDeviceGetName(handle)),
                "vram_mb": pynvml.nvmlDeviceGetMemoryInfo(handle).total // MEGABYTE,
                "driver": driver,
            }
            for index, handle in enumerate(self.handles)
        ]

    def gauges(self, indexes: list[int] | None = None) -> list[GpuGauge]:
        """What the cards do now: all of them, or those asked for."""
        wanted = range(len(self.handles)) if indexes is None else [i for i in indexes if i < len(self.handles)]
        return [self._gauge(index) for index in wanted]

    def _gauge(self, index: int) -> GpuGauge:
        handle = self.handles[index]
        milliwatts = _read(lambda: pynvml.nvmlDeviceGetPowerUsage(handle))
        used = _read(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).used)
        return {
            "index": index,
            "util_percent": _read(lambda: float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
            "vram_used_mb": None if used is None else used // MEGABYTE,
            "temp_c": _read(lambda: float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))),
            "power_w": None if milliwatts is None else milliwatts / 1000,
        }
