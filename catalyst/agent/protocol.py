"""What the agent and the control plane say to each other: the one definition of every name, imported by both sides.

JSON text frames over one websocket that the agent opens, and a few HTTP calls for enrolment and checkpoints. Times are
unix seconds (UTC) as float, sizes are bytes unless the name says otherwise, ids are strings. Imports stay light: the
control plane imports this module in every process.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, Literal, NotRequired

# pydantic reads these types on the server; before Python 3.12 it needs this TypedDict.
from typing_extensions import TypedDict

VERSION: Final = 1
WEBSOCKET_PATH: Final = "/ws/nodes/"
HTTP_PREFIX: Final = "/api/v2/nodes/"
HELLO_TIMEOUT_S: Final = 5.0
BEAT_S: Final = 1.0
LEASE_S: Final = 6.0

# Content-defined chunks: small enough that a compressed one passes Django's default body limit of 2.5 MiB.
CHUNK_AVERAGE_BYTES: Final = 512 * 1024
CHUNK_MIN_BYTES: Final = 128 * 1024
CHUNK_MAX_BYTES: Final = 2 * 1024 * 1024
LOG_LINE_CHARACTERS: Final = 16 * 1024
LOG_LINES_PER_MESSAGE: Final = 200

State = Literal["starting", "running", "restarting", "exited", "failed", "stopped", "gone"]
FINAL_STATES: Final[frozenset[State]] = frozenset({"exited", "failed", "stopped", "gone"})

# Why a pod is in its state. `gone` always means: nothing of it runs here, and its folder is removed or worthless.
Reason = Literal[
    "",
    "completed",  # exited: exit code 0
    "crashed",  # restarting, failed: the process ended with an error
    "restart_requested",  # restarting: a `restart` signal asked for it
    "keeper_lost",  # restarting, gone: the process that held the pod was killed
    "stopped",  # stopped: a `stop` asked for it
    "agent_shutdown",  # stopped: the agent was ended in order; start the pod again as the next epoch
    "terminated",  # gone: a `terminate` asked for it, the folder is removed
    "stale",  # gone: a newer epoch lives elsewhere, nothing was committed, the folder is removed
    "fenced",  # gone: the agent was silent for too long and the keeper ended the pod
    "unknown_pod",  # gone: this machine holds no such pod
    "resume_failed",  # failed: the checkpoint could not be fetched
    "runtime_failed",  # failed: the process could not be started at all
    "memory_limit",  # failed: used more RAM than its limit
    "disk_limit",  # failed: used more disk than its limit
]
Stream = Literal["stdout", "stderr", "agent"]
RestartPolicy = Literal["never", "on-failure", "always"]
RuntimeName = Literal["process", "docker", "auto"]
StopMode = Literal["stop", "terminate", "stale"]
SignalName = Literal["crash", "restart", "checkpoint"]
# `code` of a `done` that is not ok.
RefusalCode = Literal["", "stale_epoch", "bad_spec", "runtime_unavailable", "unknown_pod", "not_running", "bad_command"]


class MachineGpu(TypedDict):
    index: int
    uuid: str
    name: str
    vram_mb: int
    driver: str


class Machine(TypedDict):
    """What the agent measured, not what it was told."""

    hostname: str
    system: str
    architecture: str
    cpu_model: str
    cpus: int
    ram_bytes: int
    disk_bytes: int
    gpus: list[MachineGpu]
    runtimes: list[str]  # of: docker, bubblewrap, bare


class Share(TypedDict):
    """The part of the machine that its owner gives."""

    vcpus: float
    ram_gb: float
    disk_gb: float


class EnrolRequest(TypedDict):
    token: str
    name: str
    machine: Machine
    share: Share


class EnrolAnswer(TypedDict):
    node_id: str
    node_key: str
    public_url: str


class Limits(TypedDict, total=False):
    vcpus: float
    ram_bytes: int
    disk_bytes: int
    processes: int
    gpus: list[int]  # indexes of the cards the pod may use; absent: all


class Spec(TypedDict):
    name: str
    image: str
    command: list[str]
    env: dict[str, str]
    ports: list[int]
    limits: Limits
    restart_policy: RestartPolicy
    grace_s: float
    resume: bool
    runtime: RuntimeName


class ManifestFile(TypedDict):
    path: str  # relative, with slashes
    mode: int
    size: int
    chunks: list[str]  # blake3 of each piece of plain bytes, in order


class Manifest(TypedDict):
    sequence: int  # rises over all epochs of a pod
    parent: str | None  # root of the checkpoint before
    root: str  # blake3 of canonical_files(files)
    step: int
    size: int
    files: list[ManifestFile]


class GpuGauge(TypedDict):
    index: int
    util_percent: float | None
    vram_used_mb: int | None
    temp_c: float | None
    power_w: float | None


class Gauges(TypedDict):
    cpu_percent: float
    ram_used_bytes: int
    gpus: list[GpuGauge]


class PodBeat(TypedDict):
    pod: str
    epoch: int
    state: State
    step: int | None
    checkpoint: int | None  # sequence of the last committed one


class PodHello(PodBeat):
    exit_code: int | None


# Agent → control plane


class Hello(TypedDict):
    type: Literal["hello"]
    node: str
    key: str
    boot: str  # new with every start of the agent
    version: int
    machine: Machine
    pods: list[PodHello]


class Beat(TypedDict):
    type: Literal["beat"]
    seq: int  # rises within a boot, over reconnects
    boot: str
    at: float
    pods: list[PodBeat]
    gauges: Gauges


class StateMessage(TypedDict):
    type: Literal["state"]
    id: str
    pod: str
    epoch: int
    state: State
    exit_code: int | None
    signal: int | None
    reason: Reason
    restarts: int
    at: float
    ports: dict[str, int]


class LogLine(TypedDict):
    n: int
    at: float
    stream: Stream
    text: str


class LogMessage(TypedDict):
    type: Literal["log"]
    pod: str
    epoch: int
    lines: list[LogLine]


class MetricMessage(TypedDict):
    type: Literal["metric"]
    pod: str
    epoch: int
    at: float
    cpu_percent: float  # 100 is one core
    ram_bytes: int
    disk_bytes: int
    step: int | None
    gpus: list[GpuGauge]


class Done(TypedDict):
    type: Literal["done"]
    id: str
    ok: bool
    code: RefusalCode
    message: str


# Control plane → agent


class Welcome(TypedDict):
    type: Literal["welcome"]
    beat_s: float
    lease_s: float


class Refused(TypedDict):
    type: Literal["refused"]
    code: str
    message: str


class BeatAck(TypedDict):
    type: Literal["beat_ack"]
    seq: int


class Ack(TypedDict):
    type: Literal["ack"]
    id: str


class LogAck(TypedDict):
    type: Literal["log_ack"]
    pod: str
    epoch: int
    n: int


class Start(TypedDict):
    type: Literal["start"]
    id: str
    pod: str
    epoch: int
    spec: Spec


class Stop(TypedDict):
    type: Literal["stop"]
    id: str
    pod: str
    epoch: int
    mode: StopMode
    grace_s: NotRequired[float]


class Signal(TypedDict):
    type: Literal["signal"]
    id: str
    pod: str
    epoch: int
    name: SignalName


Command = Start | Stop | Signal
FromAgent = Hello | Beat | StateMessage | LogMessage | MetricMessage | Done
ToAgent = Welcome | Refused | BeatAck | Ack | LogAck | Command


def authorization(node_id: str, node_key: str) -> str:
    """Value of the Authorization header of every HTTP call after enrolment."""
    return f"Node {node_id}:{node_key}"


def canonical_files(files: Sequence[ManifestFile]) -> bytes:
    """The bytes whose blake3 (hex) is a manifest's root: files by path, keys sorted, no spaces, ASCII."""
    ordered: list[dict[str, Any]] = sorted((dict(file) for file in files), key=lambda file: file["path"])
    return json.dumps(ordered, sort_keys=True, separators=(",", ":")).encode("ascii")
