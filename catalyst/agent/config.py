"""What the owner of the machine told the agent, and what the control plane gave it at enrolment."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
from pathlib import Path

import psutil

from catalyst.agent.files import read_json, write_json
from catalyst.agent.protocol import Share

DESCRIPTION = "Runs pods on this machine and reports to the control plane."


@dataclasses.dataclass(frozen=True)
class Config:
    server: str
    state: Path
    name: str
    token_file: Path | None
    share: Share
    sandbox_local: bool
    run_as: str
    shutdown_s: float
    fence_s: float

    @property
    def pods(self) -> Path:
        return self.state / "pods"


@dataclasses.dataclass(frozen=True)
class Node:
    """Who this machine is for the control plane. The key opens its pods' checkpoints: it never leaves this process."""

    node_id: str
    node_key: str
    public_url: str


def load_node(config: Config) -> Node | None:
    stored = read_json(config.state / "node.json")
    return Node(**stored) if stored else None


def save_node(config: Config, node: Node) -> None:
    write_json(config.state / "node.json", dataclasses.asdict(node), durable=True)


def read_config(arguments: list[str] | None = None) -> Config:
    parser = argparse.ArgumentParser(prog="python -m catalyst.agent", description=DESCRIPTION)
    parser.add_argument("--server", required=True, help="address of the control plane, http:// or https://")
    parser.add_argument("--state", required=True, type=Path, help="folder of the agent: its identity and its pods")
    parser.add_argument("--name", required=True, help="name of this node")
    parser.add_argument("--token-file", type=Path, help="file with the one-time enrolment token")
    parser.add_argument("--vcpus", type=float, help="share of the machine to give (default: all)")
    parser.add_argument("--ram-gb", type=float, help="share of the memory to give (default: all)")
    parser.add_argument("--disk-gb", type=float, help="share of the disk to give (default: what is free)")
    parser.add_argument(
        "--sandbox-local", action="store_true", help="allow pods without any sandbox, for this machine's own user"
    )
    parser.add_argument(
        "--run-as", default="nobody", help="user of the pods when the agent runs as root (default: nobody)"
    )
    parser.add_argument(
        "--shutdown-s", type=float, default=30.0, help="time to end all pods in on SIGTERM (default: 30)"
    )
    parser.add_argument(
        "--fence-s", type=float, default=60.0, help="pods end when the agent is silent for so long (default: 60)"
    )
    given = parser.parse_args(arguments)
    if not given.server.startswith(("http://", "https://")):
        parser.error("--server must start with http:// or https://")
    state = given.state.absolute()
    state.mkdir(parents=True, exist_ok=True, mode=0o711)
    return Config(
        server=given.server.rstrip("/"),
        state=state,
        name=given.name,
        token_file=given.token_file,
        share=_share(given, state),
        sandbox_local=given.sandbox_local,
        run_as=given.run_as,
        shutdown_s=given.shutdown_s,
        fence_s=given.fence_s,
    )


def _share(given: argparse.Namespace, state: Path) -> Share:
    return {
        "vcpus": given.vcpus or float(os.cpu_count() or 1),
        "ram_gb": given.ram_gb or round(psutil.virtual_memory().total / 1e9, 1),
        "disk_gb": given.disk_gb or round(shutil.disk_usage(state).free / 1e9, 1),
    }
