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
        for number in range(card.vast_machines):
            name = f"{card.slug}/{number}"
            gpus = market.pick((1, 2, 4, 8, 8) if card.in_servers else (1, 1, 1, 2, 2, 4, 8), name, "gpus")
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

    `fixed` is the hardware of the ask's machine.
    """
    price = ask.lowest_bid if bid else ask.price
    disk_hour = disk_price_hour(ask, disk_gb)
    total = price + disk_hour
    now, duration = time.time(), 86400 * market.whole(20, 300, ask.machine.name, "duration")
    return {
        "id": ask.id,
        "ask_contract_id": ask.id,
        **fixed,
        **price_fields(price, disk_hour),
        "min_bid": ask.lowest_bid,
        "storage_cost": ask.storage,
        "vram_costperhour": price / fixed["gpu_total_ram"],
        "dlperf_per_dphtotal": fixed["dlperf"] / float(total),
        "flops_per_dphtotal": fixed["total_flops"] / float(total),
        "is_bid": bid,
        "rentable": not (ask.busy or taken),
        "rented": taken,
        "duration": duration,
        "start_date": now - 86400,
        "end_date": now + duration,
        "time_remaining": "",
        "time_remaining_isbid": "",
    }


def price_fields(price: Decimal, disk_hour: Decimal) -> dict[str, Any]:
    """The many places in which Vast repeats a price; `dph_base` is without the disk."""
    total = price + disk_hour
    per_hour = {
        "gpuCostPerHour": price,
        "diskHour": disk_hour,
        "totalHour": total,
        "discountTotalHour": 0,
        "discountedTotalPerHour": total,
    }
    return {
        "dph_base": price,
        "dph_total": total,
        "dph_total_adj": total,
        "discounted_dph_total": total,
        "discount_rate": 0,
        "storage_total_cost": disk_hour,
        "search": per_hour,
        "instance": per_hour,
    }
