"""What providers answer, as seen in their public descriptions and clients, and what we ask of them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from marketplace.providers.base import LaunchRequest
from marketplace.providers.lambda_labs.adapter import Adapter as Lambda
from marketplace.providers.runpod.adapter import Adapter as RunPod
from marketplace.providers.vast.adapter import Adapter as Vast
from tests.marketplace.scripted import Scripted

VAST_OFFER: dict[str, Any] = {
    "id": 11684738,
    "machine_id": 22990,
    "gpu_name": "RTX 4090",
    "num_gpus": 2,
    "gpu_ram": 24564,
    "cpu_cores": 96,
    "cpu_cores_effective": 24.0,
    "cpu_ram": 64393,
    "disk_space": 1607.875,
    "dph_base": 0.24666666666666665,
    "dph_total": 0.2466759259259259,
    "min_bid": 0.2,
    "storage_cost": 0.0013333333333333335,
    "inet_down": 105.9,
    "inet_up": 77.7,
    "inet_up_cost": 0.0,
    "reliability2": 0.9700835,
    "verification": "verified",
    "geolocation": "Guangxi, CN",
    "duration": 13356528.56,
    "direct_port_count": 249,
    "cuda_max_good": 12.2,
    "hosting_type": 0,
}
RUNPOD_GPU: dict[str, Any] = {
    "id": "NVIDIA GeForce RTX 4090",
    "name": "RTX 4090",
    "manufacturer": "NVIDIA",
    "memory": 24,
    "secure": True,
    "community": True,
    "price": {"secure": 0.44, "community": 0.31, "serverless": 1.1},
    "maxCount": {"secure": 8, "community": 4},
    "availability": "HIGH",
    "dataCenters": [
        {"id": "US-KS-2", "name": "US Kansas 2", "availability": "HIGH"},
        {"id": "EU-RO-1", "name": "EU Romania 1", "availability": "NONE"},
    ],
}
LAMBDA_TYPE: dict[str, Any] = {
    "instance_type": {
        "name": "gpu_8x_h100_sxm5gdr",
        "description": "8x H100 (80 GB SXM5)",
        "gpu_description": "H100 (80 GB SXM5)",
        "price_cents_per_hour": 3592,
        "specs": {"vcpus": 208, "memory_gib": 1800, "storage_gib": 24780, "gpus": 8},
    },
    "regions_with_capacity_available": [{"name": "us-west-1", "description": "California, USA"}],
}
AKASH_MODEL: dict[str, Any] = {
    "vendor": "nvidia",
    "model": "rtx4090",
    "ram": "24Gi",
    "interface": "PCIe",
    "availability": {"total": 40, "available": 12},
    "providerAvailability": {"total": 9, "available": 4},
    "price": {"currency": "USD", "min": 0.2, "max": 0.9, "avg": 0.41, "weightedAverage": 0.4, "med": 0.38},
}


REQUEST = LaunchRequest(
    key="gpubroker-pod1-e1-a1",
    offer_ref="11684738",
    image="pytorch/pytorch:latest",
    command=["python", "train.py", "--name=a b"],
    env={"TOKEN": "it's $ecret", "MODE": "fast"},
    ports=[8000],
    disk_gb=20,
    gpu_name="RTX 4090",
    gpu_count=1,
    kind="on_demand",
    max_price_per_hour=Decimal("0.30"),
)
VAST_INSTANCE: dict[str, Any] = {
    "id": 501,
    "label": REQUEST.key,
    "actual_status": "running",
    "intended_status": "running",
    "cur_state": "running",
    "next_state": "running",
    "status_msg": "success,\nrunning",
    "dph_base": 0.25,
    "dph_total": 0.27,
    "is_bid": False,
    "ssh_host": "ssh4.vast.ai",
    "ssh_port": 20000,
    "public_ipaddr": " 203.0.113.7 ",
    "ports": {"22/tcp": [{"HostIp": "0.0.0.0", "HostPort": "40022"}], "8000/tcp": [{"HostPort": "40080"}], "x": []},
    "start_date": 1787000000.5,
}
POD: dict[str, Any] = {
    "id": "7h9k2m4n6p",
    "name": REQUEST.key,
    "status": "RUNNING",
    "cost": 0.25,
    "ssh": {
        "proxy": {"host": "ssh.runpod.io", "port": 22, "username": "7h9k2m4n6p-64411eb2", "command": "ssh …"},
        "direct": {"host": "195.26.233.3", "port": 34446, "username": "root", "command": "ssh …"},
    },
    "runtime": {
        "uptime": 3600,
        "ports": [
            {"private": 8000, "public": 34447, "type": "tcp", "ip": "195.26.233.3"},
            {"private": 9000, "public": None, "type": "tcp", "ip": None},
        ],
    },
    "createdAt": "2026-03-13T20:00:00Z",
    "startedAt": "2026-03-13T20:00:05Z",
}
MACHINE: dict[str, Any] = {
    "id": "0920582c7ff041399e34823a0be62549",
    "name": REQUEST.key,
    "status": "active",
    "ip": "198.51.100.2",
    "instance_type": {"price_cents_per_hour": 25},
}


def vast(provider: Scripted, *listed: dict[str, Any], accepted: Any = None, **shown: Any) -> Vast:
    provider.say("GET", "/api/v1/instances/", {"instances": list(listed), "next_token": None})
    provider.say("PUT", "/api/v0/asks/", accepted or {"success": True, "new_contract": 501})
    provider.say("GET", "/api/v0/instances/501/", {"instances": {**VAST_INSTANCE, **shown}})
    provider.say("DELETE", "/api/v0/instances/501/", {"success": True})
    return Vast(provider.account())


RUNPOD_REQUEST = replace(REQUEST, offer_ref="NVIDIA GeForce RTX 4090|COMMUNITY|2|US-KS-2", gpu_count=2)


def runpod(provider: Scripted, *pods: dict[str, Any], **changed: Any) -> RunPod:
    provider.say("GET", "/v2/pods", {"pods": list(pods)})
    provider.say("POST", "/v2/pods", {**POD, **changed}, status=201)
    provider.say("DELETE", "/v2/pods/7h9k2m4n6p", b"", status=204)
    return RunPod(provider.account())


def lambda_labs(provider: Scripted, *machines: dict[str, Any]) -> Lambda:
    provider.say("GET", "/api/v1/instances", {"data": list(machines)})
    provider.say("GET", f"/api/v1/instances/{MACHINE['id']}", {"data": MACHINE})
    provider.say("GET", "/api/v1/ssh-keys", {"data": [{"id": "1", "name": "laptop", "public_key": "ssh-ed25519 A"}]})
    provider.say("POST", "/api/v1/instance-operations/launch", {"data": {"instance_ids": [MACHINE["id"]]}})
    provider.say("POST", "/api/v1/instance-operations/terminate", {"data": {"terminated_instances": []}})
    return Lambda(provider.account())


LAMBDA_REQUEST = replace(REQUEST, offer_ref="gpu_1x_a10|us-west-1", gpu_name="A10 (24 GB PCIe)")
