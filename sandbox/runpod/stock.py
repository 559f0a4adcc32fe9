"""RunPod's catalogue at the present tick: prices by cloud, stock by data centre."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from sandbox.cards import CARDS, Card
from sandbox.market import Market
from sandbox.prices import ListPrices

Cloud = Literal["SECURE", "COMMUNITY"]
Level = Literal["NONE", "LOW", "MEDIUM", "HIGH"]
PROVIDER = "runpod"
CENT = Decimal("0.01")
PRICE_TICKS = 60  # RunPod changes its list now and then, not from minute to minute
BOTTOM: dict[Level, float] = {"NONE": 0.22, "LOW": 0.45, "MEDIUM": 0.72}
SECURE_ONLY_WATTS = 500  # the big servers stand in RunPod's own data centres only
CUDA = ("12.8", "12.7", "12.6", "12.4")


@dataclass(frozen=True, slots=True)
class DataCenter:
    id: str
    name: str
    region: str
    country: str


DATA_CENTERS = (
    DataCenter("US-KS-2", "US Kansas 2", "NORTH_AMERICA", "US"),
    DataCenter("US-TX-3", "US Texas 3", "NORTH_AMERICA", "US"),
    DataCenter("US-CA-2", "US California 2", "NORTH_AMERICA", "US"),
    DataCenter("US-GA-2", "US Georgia 2", "NORTH_AMERICA", "US"),
    DataCenter("US-IL-1", "US Illinois 1", "NORTH_AMERICA", "US"),
    DataCenter("US-NC-1", "US North Carolina 1", "NORTH_AMERICA", "US"),
    DataCenter("CA-MTL-1", "Canada Montreal 1", "NORTH_AMERICA", "CA"),
    DataCenter("CA-MTL-3", "Canada Montreal 3", "NORTH_AMERICA", "CA"),
    DataCenter("EU-RO-1", "EU Romania 1", "EUROPE", "RO"),
    DataCenter("EU-SE-1", "EU Sweden 1", "EUROPE", "SE"),
    DataCenter("EU-CZ-1", "EU Czechia 1", "EUROPE", "CZ"),
    DataCenter("EU-NL-1", "EU Netherlands 1", "EUROPE", "NL"),
    DataCenter("EU-FR-1", "EU France 1", "EUROPE", "FR"),
    DataCenter("EUR-IS-1", "Europe Iceland 1", "EUROPE", "IS"),
    DataCenter("EUR-NO-1", "Europe Norway 1", "EUROPE", "NO"),
    DataCenter("AP-JP-1", "Asia Japan 1", "ASIA", "JP"),
    DataCenter("OC-AU-1", "Oceania Australia 1", "OCEANIA", "AU"),
)
BY_ID = {center.id: center for center in DATA_CENTERS}
ORDER: tuple[Level, ...] = ("NONE", "LOW", "MEDIUM", "HIGH")


class Catalogue:
    def __init__(self, market: Market, prices: ListPrices) -> None:
        self._market = market
        self._prices: dict[str, Decimal] = {}
        self.cards: list[Card] = []
        for card in CARDS:
            listed = prices.price(PROVIDER, card.slug) if card.runpod_id else None
            if listed is not None:
                self.cards.append(card)
                self._prices[card.slug] = listed

    def card(self, id: str) -> Card | None:
        return next((card for card in self.cards if card.runpod_id == id), None)

    def in_community(self, card: Card) -> bool:
        return card.watts < SECURE_ONLY_WATTS or card.runpod_name.startswith("RTX")

    def price(self, card: Card, cloud: Cloud) -> Decimal:
        """USD per hour for one GPU; 0 where the cloud has none, as RunPod writes it.

        The published price is the cheapest: the community's where there is one.
        """
        now = self._market.drift(self._prices[card.slug], card.slug, swing=0.03, every=PRICE_TICKS)
        if cloud == "COMMUNITY":
            return now.quantize(CENT) if self.in_community(card) else Decimal(0)
        return (now * Decimal("1.35") if self.in_community(card) else now).quantize(CENT)

    def most(self, card: Card, cloud: Cloud) -> int:
        if cloud == "COMMUNITY":
            return self._market.pick((2, 4, 8), card.slug, "most") if self.in_community(card) else 0
        return 8

    def centers(self, card: Card, cloud: Cloud) -> list[DataCenter]:
        """Where a card stands at all. Community machines belong to hosts, but RunPod groups them in the same way."""
        if cloud == "COMMUNITY" and not self.in_community(card):
            return []
        found = [center for center in DATA_CENTERS if self._market.chance(card.slug, center.id, cloud, "has") < 0.4]
        return found or [self._market.pick(DATA_CENTERS, card.slug, cloud, "one")]

    def stock(self, card: Card, cloud: Cloud, center: DataCenter, count: int = 1) -> Level:
        """What is free now for a pod of `count` GPUs: less for more."""
        if count > self.most(card, cloud):
            return "NONE"
        free = self._market.level(f"{card.slug}/{center.id}/{cloud}") - 0.03 * (count - 1)
        return next((level for level, top in BOTTOM.items() if free < top), "HIGH")

    def best_stock(self, card: Card, cloud: Cloud, count: int = 1, countries: set[str] | None = None) -> Level:
        levels = [
            self.stock(card, cloud, center, count)
            for center in self.centers(card, cloud)
            if not countries or center.country in countries
        ]
        return max(levels, key=ORDER.index, default="NONE")

    def place(self, card: Card, cloud: Cloud, count: int, wanted: list[str]) -> DataCenter | None:
        """The data centre with the most stock for a pod, of those wanted."""
        open_ = [
            center
            for center in self.centers(card, cloud)
            if (not wanted or center.id in wanted) and self.stock(card, cloud, center, count) != "NONE"
        ]
        return max(open_, key=lambda center: ORDER.index(self.stock(card, cloud, center, count)), default=None)

    def cuda(self, card: Card) -> list[str]:
        newest = self._market.whole(0, 2, card.slug, "cuda")
        return list(CUDA[newest:])

    def describe(self, card: Card) -> dict[str, Any]:
        """A GPU type without availability."""
        body: dict[str, Any] = {
            "id": card.runpod_id,
            "name": card.runpod_name,
            "pool": card.runpod_pool or None,
            "manufacturer": card.vendor.upper(),
            "memory": card.memory_gb,
            "secure": True,
            "community": self.in_community(card),
            "price": {"secure": self.price(card, "SECURE"), "community": self.price(card, "COMMUNITY")},
            "maxCount": {"secure": self.most(card, "SECURE"), "community": self.most(card, "COMMUNITY")},
        }
        if card.runpod_pool:
            body["price"]["serverless"] = (self.price(card, "SECURE") * Decimal("1.6")).quantize(CENT)
        return body
