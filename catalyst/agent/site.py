"""What a pod needs of its agent."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from catalyst.agent.config import Config
from catalyst.agent.record import Record
from catalyst.agent.runtimes import Runtimes
from catalyst.agent.store import Store


@dataclasses.dataclass(frozen=True)
class Site:
    config: Config
    store: Store
    runtimes: Runtimes
    gpus: int
    report: Callable[[Record], None]  # the state of this pod changed
    lines: Callable[[], None]  # there are new log lines
    lost: Callable[[Record], None]  # a newer epoch of this pod lives elsewhere
