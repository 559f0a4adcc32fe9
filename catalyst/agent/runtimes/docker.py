"""Pods as Docker containers, driven by the `docker` command, which stays as the keeper's child and passes signals on."""

from __future__ import annotations

import os
import shutil
import subprocess

from catalyst.agent.runtimes.base import CannotRun, Launch, Order, contract, defaults, load_json, port_names
from catalyst.agent.runtimes.process import ship_job

TIMEOUT_S = 10.0
WORK, CHECKPOINTS, JOBS = "/catalyst/work", "/catalyst/checkpoints", "/catalyst/jobs"
OWN_VARIABLES = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "XDG_RUNTIME_DIR")


class DockerRuntime:
    name = "docker"

    def __init__(self) -> None:
        self.program = shutil.which("docker")
        self.available = bool(self.program and self._ask("version", "--format", "{{json .Server.Version}}"))

    def prepare(self, order: Order) -> Launch:
        if not order.spec["image"]:
            raise CannotRun("the docker runtime needs an image")
        self.clear(order.pod, None)
        folder = order.folder
        folder.path.chmod(0o700)  # the daemon is root; an image's own user gets open folders, behind a closed door
        for path in (folder.work, folder.checkpoints):
            path.chmod(0o777)
        name = f"catalyst-{order.pod}-{order.epoch}-{order.run}"
        argv = [str(self.program), "run", "--name", name, *self._options(order), order.spec["image"]]
        return Launch(
            run=order.run,
            argv=[*argv, *ship_job(order.spec["command"], folder.jobs, JOBS)],
            env={key: os.environ[key] for key in OWN_VARIABLES if key in os.environ},
            cwd="/",
            nice=0,
            kill_argv=[str(self.program), "kill", name],
        )

    def clear(self, pod: str, leader: int | None) -> None:
        ids = self._ask("ps", "--all", "--quiet", "--filter", f"label=catalyst.pod={pod}").split()
        if ids:
            self._ask("rm", "--force", *ids)

    def roots(self, pod: str, keeper: int) -> list[int]:
        ids = self._ask("ps", "--quiet", "--filter", f"label=catalyst.pod={pod}").split()
        answers = [load_json(self._ask("inspect", "--format", "{{json .State.Pid}}", each)) for each in ids]
        return [pid for pid in answers if isinstance(pid, int) and pid > 0]

    def _options(self, order: Order) -> list[str]:
        options = ["--rm", "--init", "--label", f"catalyst.pod={order.pod}", "--label", f"catalyst.epoch={order.epoch}"]
        options += ["--security-opt", "no-new-privileges", "--ulimit", "core=0", "--workdir", WORK]
        for source, target in ((order.folder.work, WORK), (order.folder.checkpoints, CHECKPOINTS)):
            options += ["--volume", f"{source}:{target}"]
        options += ["--volume", f"{order.folder.jobs}:{JOBS}:ro"]
        for port, actual in order.ports.items():
            options += ["--publish", f"127.0.0.1:{actual}:{port}"]
        return options + self._limits(order) + self._environment(order)

    def _limits(self, order: Order) -> list[str]:
        limits, options = order.spec["limits"], []
        if limits.get("vcpus"):
            options += ["--cpus", f"{limits['vcpus']:g}"]
        if limits.get("ram_bytes"):
            options += ["--memory", str(limits["ram_bytes"]), "--memory-swap", str(limits["ram_bytes"])]
        if limits.get("processes"):
            options += ["--pids-limit", str(limits["processes"])]
        cards = limits.get("gpus")
        if order.gpus and cards != []:
            options += ["--gpus", "all" if cards is None else f'"device={",".join(map(str, cards))}"']
        return options

    def _environment(self, order: Order) -> list[str]:
        """By file, so that no value is seen in the process list; a value of many lines does not fit into one."""
        inside = port_names({port: port for port in order.ports})
        values = defaults(order) | order.spec["env"] | inside | contract(order, CHECKPOINTS)
        path = order.folder.run(order.epoch) / "environment"
        path.touch(mode=0o600)
        path.write_text("".join(f"{key}={value}\n" for key, value in values.items() if "\n" not in value))
        options = ["--env-file", str(path)]
        for key, value in values.items():
            options += ["--env", f"{key}={value}"] if "\n" in value else []
        return options

    def _ask(self, *arguments: str) -> str:
        """Output of a docker command; empty when it failed."""
        try:
            done = subprocess.run(
                [str(self.program), *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""
