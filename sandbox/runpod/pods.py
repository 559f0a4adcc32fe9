"""A pod of RunPod's REST v2: what a create request may say, and how a pod is shown."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sandbox.bills import DAY_S, Cost, begin_of
from sandbox.fleet import Instance
from sandbox.listeners import SSH_PORT
from sandbox.runpod.stock import Cloud
from sandbox.workload import rfc3339

DISK_USD_GB_HOUR = Decimal("0.10") / 730
CREATE_FIELDS = {
    "name", "image", "args", "disk", "env", "ports", "registry", "cloud", "cpu", "gpu", "dataCenterIds", "mounts",
    "globalNetworking", "startJupyter", "startSsh", "templateId",
}  # fmt: skip
PATCH_FIELDS = {
    "name", "image", "args", "disk", "env", "ports", "registry", "mounts", "globalNetworking", "locked", "templateId",
}  # fmt: skip
USUAL_DISK_GB = 50
MOST_PORTS = 16
ACTIONS = {
    "PROVISIONING": ["stop", "terminate"],
    "STARTING": ["stop", "terminate"],
    "RUNNING": ["stop", "restart", "terminate"],
    "EXITED": ["start", "terminate"],
    "ERROR": ["start", "terminate"],
}


@dataclass(frozen=True, slots=True)
class Wish:
    name: str
    image: str
    gpu_id: str
    count: int
    cloud: Cloud
    centers: list[str]
    cuda: list[str]
    disk_gb: int
    mounts: dict[str, Any]
    ports: list[str]
    env: dict[str, str]
    args: str
    registry: str | None
    template: str | None


def find_faults(body: dict[str, Any], known: set[str]) -> list[str]:
    """All violations of the contract, in words: they answer with 422."""
    faults = [f"body: property '{name}' is unsupported" for name in sorted(set(body) - known)]
    for name in ("name", "image", "args", "templateId"):
        if name in body and not isinstance(body[name], str):
            faults.append(f"body.{name}: value must be a string")
    if body.get("name") == "":
        faults.append("body.name: minimum string length is 1")
    disk = body.get("disk", USUAL_DISK_GB)
    if isinstance(disk, bool) or not isinstance(disk, int) or disk < 1:
        faults.append("body.disk: number must be at least 1")
    env = body.get("env", {})
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        faults.append("body.env: values must be strings")
    if not _is_ports(body.get("ports", [])):
        faults.append("body.ports: entries must be such as 8888/http or 22/tcp")
    return faults + _mount_faults(body.get("mounts", {}))


def find_create_faults(body: dict[str, Any]) -> list[str]:
    faults = find_faults(body, CREATE_FIELDS)
    if "name" not in body:
        faults.append("body: property 'name' is missing")
    if "image" not in body and "templateId" not in body:
        faults.append("body: property 'image' is missing")
    if body.get("cloud", "SECURE") not in ("SECURE", "COMMUNITY"):
        faults.append("body.cloud: value is not one of SECURE, COMMUNITY")
    centers = body.get("dataCenterIds", [])
    if not isinstance(centers, list) or not all(isinstance(center, str) for center in centers):
        faults.append("body.dataCenterIds: value must be an array of strings")
    gpu = body.get("gpu")
    if gpu is None:
        return faults
    if not isinstance(gpu, dict) or not isinstance(gpu.get("id"), str):
        return [*faults, "body.gpu: property 'id' is missing"]
    count = gpu.get("count", 1)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        faults.append("body.gpu.count: number must be at least 1")
    return faults


def _is_ports(value: Any) -> bool:
    if not isinstance(value, list) or len(value) > MOST_PORTS:
        return False
    for entry in value:
        port, _, kind = entry.partition("/") if isinstance(entry, str) else ("", "", "")
        if not port.isdecimal() or len(port) > 5 or not 1 <= int(port) <= 65535 or kind not in ("http", "tcp", "udp"):
            return False
    return True


def _mount_faults(mounts: Any) -> list[str]:
    if not isinstance(mounts, dict) or set(mounts) - {"persistent", "network"}:
        return ["body.mounts: known are persistent and network"]
    disk = mounts.get("persistent")
    if disk is None:
        return []
    size = disk.get("size") if isinstance(disk, dict) else None
    if isinstance(size, bool) or not isinstance(size, int) or size < 10 or not isinstance(disk.get("path"), str):
        return ["body.mounts.persistent: size (from 10) and path are required"]
    return []


def read_wish(body: dict[str, Any]) -> Wish:
    """From a body without faults that has a `gpu`."""
    gpu = body["gpu"]
    return Wish(
        name=body["name"],
        image=body.get("image", "runpod/base:latest"),
        gpu_id=gpu["id"],
        count=gpu.get("count", 1),
        cloud=body.get("cloud", "SECURE"),
        centers=body.get("dataCenterIds", []),
        cuda=gpu.get("allowedCudaVersions") or [],
        disk_gb=body.get("disk", USUAL_DISK_GB),
        mounts=body.get("mounts", {}),
        ports=body.get("ports", []),
        env=body.get("env", {}),
        args=body.get("args", ""),
        registry=body.get("registry"),
        template=body.get("templateId"),
    )


def inner_ports(ports: list[str]) -> list[int]:
    """Container ports that a machine publishes; ssh listens in any case, for the proxy."""
    return sorted({SSH_PORT, *(int(entry.partition("/")[0]) for entry in ports)})


def disk_price_hour(disk_gb: int, mounts: dict[str, Any]) -> Decimal:
    size: int = disk_gb + (mounts.get("persistent") or {"size": 0})["size"]
    return (DISK_USD_GB_HOUR * size).quantize(Decimal("0.00000001"))


def status(instance: Instance) -> str:
    if instance.state == "booting":
        return "PROVISIONING" if instance.boot_share < 0.5 else "STARTING"
    return {
        "running": "RUNNING",
        "stopped": "EXITED",
        "exited": "EXITED",
        "preempted": "EXITED",
        "failed": "ERROR",
        "terminated": "TERMINATED",
    }[instance.state]


def show(instance: Instance) -> dict[str, Any]:
    details = instance.details
    now = status(instance)
    costs = now not in ("EXITED", "ERROR")
    return {
        "id": instance.id,
        "name": details["name"],
        "image": details["image"],
        "args": details["args"],
        "disk": details["disk_gb"],
        "ports": details["ports"],
        "env": details["env"],
        "registry": details["registry"],
        "status": now,
        "actions": ACTIONS[now],
        "mounts": details["mounts"],
        "gpu": {"id": details["gpu_id"], "count": details["count"]},
        "cloud": details["cloud"],
        "dataCenterId": details["center"],
        "cudaVersion": details["cuda_version"],
        "ssh": _ssh(instance),
        "template": details["template"],
        "cost": instance.price_hour if costs else 0.0,
        "locked": details["locked"],
        "globalNetworking": {"enabled": False},
        "runtime": _runtime(instance) if instance.state == "running" else None,
        "createdAt": rfc3339(instance.created_at),
        "startedAt": rfc3339(instance.running_at) if instance.running_at else None,
    }


def _ssh(instance: Instance) -> dict[str, Any]:
    """`direct` needs 22/tcp among the ports and a running container; `proxy` is only a shell.

    RunPod's proxy is a host of its own, ssh.runpod.io: here it leads to the instance, so that nobody is sent there.
    """
    port = instance.ports.get(SSH_PORT)
    if instance.state != "running" or port is None:
        return {"proxy": None, "direct": None}
    proxy = _endpoint(instance, port, f"{instance.id}-64411eb2")
    direct = _endpoint(instance, port, "root") if "22/tcp" in instance.details["ports"] else None
    return {"proxy": proxy, "direct": direct}


def _endpoint(instance: Instance, port: int, user: str) -> dict[str, Any]:
    host = instance.details["host"]
    return {"host": host, "port": port, "username": user, "command": f"ssh {user}@{host} -p {port}"}


def _runtime(instance: Instance) -> dict[str, Any]:
    kinds = dict(entry.split("/") for entry in instance.details["ports"])
    return {
        "uptime": int(instance.uptime_s),
        "gpus": [
            {
                "util": int(instance.gauge(f"gpu{number}", 60, 99)),
                "memoryUtil": int(instance.gauge(f"vram{number}", 40, 90)),
            }
            for number in range(instance.details["count"])
        ],
        "cpu": {"util": int(instance.gauge("cpu", 8, 55))},
        "memory": {"util": int(instance.gauge("memory", 10, 40))},
        "ports": [
            {"private": inner, "public": outer, "type": kinds[str(inner)], "ip": instance.details["host"]}
            for inner, outer in instance.ports.items()
            if str(inner) in kinds
        ],
    }


def billing_records(instance: Instance, days: dict[str, Cost]) -> list[dict[str, Any]]:
    """One for each day on which it cost something."""
    return [
        {
            "startTime": rfc3339(begin_of(day)),
            "endTime": rfc3339(begin_of(day) + DAY_S),
            "podId": instance.id,
            **amounts(cost),
        }
        for day, cost in sorted(days.items())
    ]


def amounts(cost: Cost) -> dict[str, Any]:
    return {"totalAmount": cost.total, "gpuAmount": cost.gpu, "cpuAmount": 0, "diskAmount": cost.disk}
