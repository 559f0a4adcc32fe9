"""What stays with a host's machine for ever: where it stands, its GPUs, its processor, disk and net."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sandbox.market import Market
from sandbox.vast.machines import Machine

PLACES = (
    "California, US", "Texas, US", "Washington, US", "Michigan, US", "New York, US", "Quebec, CA", "Ontario, CA",
    "France, FR", "Germany, DE", "Netherlands, NL", "Sweden, SE", "Norway, NO", "Finland, FI", "Poland, PL",
    "Czechia, CZ", "Bulgaria, BG", "Spain, ES", "United Kingdom, GB", "Iceland, IS", "Estonia, EE", "Ukraine, UA",
    "Taiwan, TW", "South Korea, KR", "Japan, JP", "Singapore, SG", "India, IN", "Australia, AU", "Brazil, BR",
    "Argentina, AR", "South Africa, ZA", "United Arab Emirates, AE", "Hong Kong, HK",
)  # fmt: skip
SERVER_CPUS = (
    ("AMD EPYC 7642 48-Core Processor", 96), ("AMD EPYC 9554 64-Core Processor", 128),
    ("AMD EPYC 9654 96-Core Processor", 192), ("Xeon® Platinum 8468", 96), ("Xeon® Gold 6248", 80),
)  # fmt: skip
DESKTOP_CPUS = (
    ("AMD Ryzen 9 7950X 16-Core Processor", 32), ("AMD Ryzen 9 5950X 16-Core Processor", 32),
    ("AMD EPYC 7302 16-Core Processor", 32), ("Core™ i9-14900K", 32), ("Xeon® E5-2680 v4", 56),
)  # fmt: skip
BOARDS = ("ROME2D32GM-2T", "H12SSL-i", "X11DPG-QT", "ROMED8-2T", "TRX50 AERO D", "MZ72-HB0", "B650 Gaming")
DISKS = ("SAMSUNG MZQL23T8", "KINGSTON SFYRD2000G", "Micron_7450", "WD_BLACK SN850X", "INTEL SSDPF2KX038")
DRIVERS = ("570.124.06", "570.86.15", "560.35.03", "550.127.05")


def hardware(market: Market, machine: Machine) -> dict[str, Any]:
    """The part of an offer that does not change: MB for memory, GB and MB/s for disk, Mbit/s for the net."""
    # A host may offer a part of a machine: the offer then has that part of its processor.
    whole = max(machine.gpus, market.pick((1, 2, 4, 8), machine.name, "whole"))
    return {
        **_host(market, machine),
        **_gpus(market, machine, whole),
        **_computer(market, machine, whole),
        **_net(market, machine),
        "external": False,
        "vms_enabled": False,
        "resource_type": "gpu",
        "cluster_id": None,
        "credit_discount_max": 0.1,
        "logo": "/static/logos/vastai_small2.png",
        "webpage": None,
    }


def _host(market: Market, machine: Machine) -> dict[str, Any]:
    name = machine.name
    verified = market.chance(name, "verified") < 0.8
    reliability = 1 - (0.02 if verified else 0.12) * market.chance(name, "reliability")
    place = market.pick(PLACES, name, "place")
    return {
        "bundle_id": market.whole(1_000_000_000, 1_999_999_999, name, "bundle"),
        "machine_id": market.whole(10_000, 59_999, name, "machine"),
        "host_id": market.whole(50_000, 299_999, name, "host"),
        "hostname": None,
        "hosting_type": 1 if machine.card.in_servers and verified else 0,
        "geolocation": place,
        "geolocode": market.whole(1_000_000, 99_999_999, place),
        "verification": "verified" if verified else "unverified",
        "vericode": int(verified),
        "reliability": reliability,
        "reliability2": reliability,
        "expected_reliability": reliability,
        "reliability_mult": reliability,
        "score": round(10 * reliability * machine.card.tflops / max(1.0, float(machine.price)), 3),
    }


def _gpus(market: Market, machine: Machine, whole: int) -> dict[str, Any]:
    card, name, gpus = machine.card, machine.name, machine.gpus
    return {
        "gpu_name": card.vast,
        "gpu_arch": card.vendor,
        "gpu_ids": [market.whole(10_000, 99_999, name, "gpu", number) for number in range(gpus)],
        "num_gpus": gpus,
        "gpu_frac": gpus / whole,
        "gpu_ram": card.memory_mb,
        "gpu_total_ram": card.memory_mb * gpus,
        "gpu_mem_bw": card.bandwidth_gb_s,
        "gpu_max_power": card.watts,
        "gpu_max_temp": 90,
        "gpu_lanes": 16,
        "gpu_display_active": False,
        "bw_nvlink": 900.0 if card.in_servers and gpus > 1 else 0.0,
        "compute_cap": card.compute_cap,
        "cuda_max_good": float(market.pick(("12.8", "12.6", "12.4"), name, "cuda")),
        "driver_version": market.pick(DRIVERS, name, "driver"),
        "total_flops": round(card.tflops * gpus, 3),
        "dlperf": round(card.tflops * gpus * 1.3, 3),
    }


def _computer(market: Market, machine: Machine, whole: int) -> dict[str, Any]:
    name, big = machine.name, machine.card.in_servers
    cpu_name, cores = market.pick(SERVER_CPUS if big or machine.gpus >= 4 else DESKTOP_CPUS, name, "cpu")
    return {
        "cpu_arch": "amd64",
        "cpu_name": cpu_name,
        "cpu_cores": cores,
        "cpu_cores_effective": round(cores * machine.gpus / whole, 1),
        "cpu_ghz": market.whole(22, 40, name, "ghz") / 10,
        "cpu_ram": 1024 * market.pick((512, 1024, 1536) if big else (64, 96, 128, 256), name, "ram"),
        "has_avx": 1,
        "disk_name": market.pick(DISKS, name, "disk"),
        "disk_space": market.whole(200, 8000 if big else 1800, name, "space") + 0.5,
        "disk_bw": market.whole(800, 7000, name, "diskbw") + 0.29,
        "pci_gen": 5.0 if big else 4.0,
        "pcie_bw": float(market.whole(11, 54, name, "pcie")),
        "mobo_name": market.pick(BOARDS, name, "board"),
        "os_version": "22.04",
    }


def _net(market: Market, machine: Machine) -> dict[str, Any]:
    name = machine.name
    down = market.whole(2000, 9000, name, "down") if machine.card.in_servers else market.whole(150, 2500, name, "down")
    traffic = Decimal("0.0005") * market.whole(0, 40, name, "traffic")
    return {
        "static_ip": market.chance(name, "ip") < 0.5,
        "public_ipaddr": f"203.0.113.{market.whole(1, 254, name, 'address')}",
        "inet_down": float(down),
        "inet_up": float(int(down * (0.3 + 0.7 * market.chance(name, "up")))),
        "inet_down_cost": traffic,
        "inet_up_cost": traffic,
        "direct_port_count": market.whole(10, 500, name, "ports"),
    }
