"""The hosts' machines and what they ask for at the present tick, with the fields of a Vast.ai offer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sandbox.cards import CARDS, Card
from sandbox.market import Market, scale
from sandbox.prices import ListPrices

PROVIDER = "vast"
HOURS_A_MONTH = 720
STAY_TICKS = 240  # an ask stays for a while and comes back as another
BUSY_TICKS = 36
PRICE_TICKS = 24  # hosts change their price now and then, each at its own time
DATACENTER_CARDS = 400  # watts from which a card usually stands in a data centre

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


@dataclass(frozen=True, slots=True)
class Machine:
    """One place in the market. `price` is USD per hour for all its GPUs at list price."""

    index: int
    name: str
    card: Card
    gpus: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Ask:
    """What a machine asks at one tick: USD per hour for the whole machine, USD per GB and month for disk."""

    id: int
    machine: Machine
    price: Decimal
    lowest_bid: Decimal
    storage: Decimal
    busy: bool


def build_machines(market: Market, prices: ListPrices) -> list[Machine]:
    machines: list[Machine] = []
    for card in CARDS:
        listed = prices.price(PROVIDER, card.slug)
        if not card.vast or listed is None:
            continue
        big = card.watts >= DATACENTER_CARDS
        for number in range(card.vast_machines):
            name = f"{card.slug}/{number}"
            gpus = market.pick((1, 2, 4, 8, 8) if big else (1, 1, 1, 2, 2, 4, 8), name, "gpus")
            # The published price is the cheapest host's; the others ask up to 80 % more.
            dearer = 1 + 0.8 * market.chance(name, "dear") ** 2 if number else 1.0
            machines.append(Machine(len(machines), name, card, gpus, scale(listed * gpus, dearer)))
    return machines


def present_ask(market: Market, machine: Machine) -> Ask | None:
    """The machine's ask now, or None while its host does not offer it."""
    stay = market.run(machine.name, ticks=STAY_TICKS, share=0.88)
    if stay is None:
        return None
    tick = market.held_since(machine.name, PRICE_TICKS)
    own = 1 + 0.03 * (market.chance(machine.name, "own", tick) - 0.5)
    price = scale(machine.price, own * (1 + 0.03 * market.wave(machine.card.slug, at=tick)))
    bid_share = 0.45 + 0.2 * market.chance(machine.name, "bid") + 0.06 * market.wave(f"{machine.name}/bid", every=6)
    return Ask(
        id=1000 * market.whole(20_000, 39_999, machine.name, "ask", stay) + machine.index,
        machine=machine,
        price=price,
        lowest_bid=scale(price, min(0.95, max(0.2, bid_share))),
        storage=scale(Decimal("0.20"), 0.3 + market.chance(machine.name, "storage")),
        busy=market.run(f"{machine.name}/busy", ticks=BUSY_TICKS, share=0.15) is not None,
    )


def disk_price_hour(ask: Ask, disk_gb: float) -> Decimal:
    return (ask.storage * Decimal(repr(disk_gb)) / HOURS_A_MONTH).quantize(Decimal("0.00000001"))


def describe(
    market: Market, ask: Ask, fixed: dict[str, Any], *, disk_gb: float, bid: bool, taken: bool
) -> dict[str, Any]:
    """The offer as the search answers it: MB for memory, MB/s for disk, Mbit/s for the net, USD per hour.

    `fixed` is `hardware` of the ask's machine.
    """
    price = ask.lowest_bid if bid else ask.price
    disk_hour = disk_price_hour(ask, disk_gb)
    total = price + disk_hour
    per_hour = {
        "gpuCostPerHour": price,
        "diskHour": disk_hour,
        "totalHour": total,
        "discountTotalHour": 0,
        "discountedTotalPerHour": total,
    }
    now = time.time()
    duration = 86400 * market.whole(20, 300, ask.machine.name, "duration")
    return {
        "id": ask.id,
        "ask_contract_id": ask.id,
        **fixed,
        "dph_base": price,
        "dph_total": total,
        "dph_total_adj": total,
        "discounted_dph_total": total,
        "discount_rate": 0,
        "min_bid": ask.lowest_bid,
        "storage_cost": ask.storage,
        "storage_total_cost": disk_hour,
        "vram_costperhour": price / fixed["gpu_total_ram"],
        "dlperf_per_dphtotal": fixed["dlperf"] / float(total),
        "flops_per_dphtotal": fixed["total_flops"] / float(total),
        "is_bid": bid,
        "rentable": not (ask.busy or taken),
        "rented": taken,
        "duration": duration,
        "start_date": now - 86400,
        "end_date": now + duration,
        "search": per_hour,
        "instance": per_hour,
        "time_remaining": "",
        "time_remaining_isbid": "",
    }


def hardware(market: Market, machine: Machine) -> dict[str, Any]:
    """What stays with a machine for ever."""
    card, name, gpus = machine.card, machine.name, machine.gpus
    big = card.watts >= DATACENTER_CARDS
    cpu_name, cores = market.pick(SERVER_CPUS if big or gpus >= 4 else DESKTOP_CPUS, name, "cpu")
    whole = max(gpus, market.pick((1, 2, 4, 8), name, "whole"))
    down = market.whole(2000, 9000, name, "down") if big else market.whole(150, 2500, name, "down")
    verification = "verified" if market.chance(name, "verified") < 0.8 else "unverified"
    reliability = 1 - (0.02 if verification == "verified" else 0.12) * market.chance(name, "reliability")
    place = market.pick(PLACES, name, "place")
    driver = market.pick(("570.124.06", "570.86.15", "560.35.03", "550.127.05"), name, "driver")
    traffic = Decimal("0.0005") * market.whole(0, 40, name, "traffic")
    return {
        "bundle_id": market.whole(1_000_000_000, 1_999_999_999, name, "bundle"),
        "machine_id": market.whole(10_000, 59_999, name, "machine"),
        "host_id": market.whole(50_000, 299_999, name, "host"),
        "hostname": None,
        "hosting_type": 1 if big and verification == "verified" else 0,
        "geolocation": place,
        "geolocode": market.whole(1_000_000, 99_999_999, place),
        "verification": verification,
        "vericode": 1 if verification == "verified" else 0,
        "reliability": reliability,
        "reliability2": reliability,
        "expected_reliability": reliability,
        "reliability_mult": reliability,
        "external": False,
        "static_ip": market.chance(name, "ip") < 0.5,
        "public_ipaddr": f"203.0.113.{market.whole(1, 254, name, 'address')}",
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
        "bw_nvlink": 900.0 if big and gpus > 1 else 0.0,
        "compute_cap": card.compute_cap,
        "cuda_max_good": float(market.pick(("12.8", "12.6", "12.4"), name, "cuda")),
        "driver_version": driver,
        "total_flops": round(card.tflops * gpus, 3),
        "dlperf": round(card.tflops * gpus * 1.3, 3),
        "dlperf_per_dphtotal": None,
        "score": round(100 * reliability * card.tflops / max(1.0, float(machine.price)) / 10, 3),
        "cpu_arch": "amd64",
        "cpu_name": cpu_name,
        "cpu_cores": cores,
        "cpu_cores_effective": round(cores * gpus / whole, 1),
        "cpu_ghz": market.whole(22, 40, name, "ghz") / 10,
        "cpu_ram": 1024 * market.pick((512, 1024, 1536) if big else (64, 96, 128, 256), name, "ram"),
        "has_avx": 1,
        "disk_name": market.pick(DISKS, name, "disk"),
        "disk_space": market.whole(200, 8000 if big else 1800, name, "space") + 0.5,
        "disk_bw": market.whole(800, 7000, name, "diskbw") + 0.29,
        "inet_down": float(down),
        "inet_up": float(int(down * (0.3 + 0.7 * market.chance(name, "up")))),
        "inet_down_cost": traffic,
        "inet_up_cost": traffic,
        "direct_port_count": market.whole(10, 500, name, "ports"),
        "pci_gen": 5.0 if big else 4.0,
        "pcie_bw": float(market.whole(11, 54, name, "pcie")),
        "mobo_name": market.pick(BOARDS, name, "board"),
        "os_version": "22.04",
        "vms_enabled": False,
        "resource_type": "gpu",
        "cluster_id": None,
        "credit_discount_max": 0.1,
        "logo": "/static/logos/vastai_small2.png",
        "webpage": None,
    }
