"""How a pod's process is held: as a process of the machine (sandboxed where possible), or as a container."""

from __future__ import annotations

from catalyst.agent.config import Config
from catalyst.agent.protocol import Spec
from catalyst.agent.runtimes.base import CannotRun, Runtime
from catalyst.agent.runtimes.docker import DockerRuntime
from catalyst.agent.runtimes.process import ProcessRuntime

__all__ = ["CannotRun", "Runtime", "Runtimes"]


class Runtimes:
    """The runtimes that work on this machine, found out once at start."""

    def __init__(self, config: Config) -> None:
        self.process = ProcessRuntime(config)
        self.docker = DockerRuntime()

    @property
    def names(self) -> list[str]:
        found = ["docker"] if self.docker.available else []
        found += ["bubblewrap"] if self.process.bubblewrap else []
        return found + (["bare"] if self.process.bare_allowed else [])

    def choose(self, spec: Spec) -> Runtime:
        wanted = spec["runtime"]
        if wanted in ("docker", "auto") and spec["image"] and self.docker.available:
            return self.docker
        if wanted in ("process", "auto") and self.process.available:
            return self.process
        raise CannotRun(f"this machine has no runtime '{wanted}' (it has: {', '.join(self.names) or 'none'})")

    def named(self, name: str) -> Runtime:
        return self.docker if name == self.docker.name else self.process
