"""Akash prices in the words of the provider contract.

Akash has no bookable offers: providers bid on a deployment. What it publishes is USD per GPU-hour for each model, from
recent bids. We show the median as an estimate (`tier` says so) and rent nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from marketplace.providers.akash.client import LIVE_URL, AkashClient
from marketplace.providers.base import Account, Capability, RawOffer
from marketplace.providers.wire import VRAM_GB, RefusedRow, Row, read_offers

RAM = re.compile(r"(\d+)Gi")
TIER = "estimate"


class Adapter:
    slug = "akash"
    name = "Akash"
    capabilities: frozenset[Capability] = frozenset({"list"})
    keyless_listing = True

    def __init__(self, account: Account) -> None:
        self.refused: list[str] = []
        self._client = AkashClient(account, LIVE_URL)

    def list_offers(self) -> list[RawOffer]:
        self.refused = []
        return read_offers(self.name, self._client.gpu_prices(), _read_offer, self.refused)


def _read_offer(row: Row) -> Iterator[RawOffer]:
    model, ram, interface = row.text("model", limit=60), row.text("ram", limit=20), row.text("interface", limit=20)
    if not row.has("price"):
        return  # nobody has bid lately
    price = row.child("price")
    if price.text("currency", limit=10) != "USD":
        raise RefusedRow("the price is not in USD")
    size = RAM.fullmatch(ram)
    if size is None or not VRAM_GB[0] <= int(size[1]) <= VRAM_GB[1]:
        raise RefusedRow(f"{model}: “{ram}” is no amount of VRAM")
    yield RawOffer(
        ref=f"{model}|{ram}|{interface}",
        gpu_name=model,
        gpu_count=1,
        vram_gb=float(size[1]),
        price_per_hour=price.price("med"),
        form_factor=interface,
        tier=TIER,
        available_count=row.child("availability").count("available", low=0, high=10**6),
        extra={"estimate": True, "lowest": str(price.price("min")), "highest": str(price.price("max"))},
    )
