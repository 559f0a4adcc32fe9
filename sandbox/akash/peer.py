"""The Akash stand-in: `GET /v1/gpu-prices`, which needs no key."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.cards import CARDS, Card
from sandbox.market import scale
from sandbox.peer import Options, Peer
from sandbox.prices import median
from sandbox.store import Store
from sandbox.wire import Json

PROVIDER = "akash"
CENT = Decimal("0.01")
# Akash itself writes cents: what costs less than a few of them would move by a third at each step.
FINE = Decimal("0.001")
ERRORS = {
    "auth": (401, "UnauthorizedError", "unauthorized"),
    "rate_limit": (429, "TooManyRequestsError", "too_many_requests"),
    "not_found": (404, "NotFoundError", "not_found"),
    "method": (405, "MethodNotAllowedError", "method_not_allowed"),
    "http_500": (500, "InternalServerError", "internal_server_error"),
}


def build(options: Options, store: Store) -> Peer:
    return AkashPeer(options, store)


class AkashPeer(Peer):
    def __init__(self, options: Options, store: Store) -> None:
        super().__init__(options, store)
        prices = self.prices()
        self._listed = {card: price for card in CARDS if card.akash and (price := prices.price(PROVIDER, card.slug))}

    def routes(self) -> Sequence[Route]:
        return [Route("/v1/gpu-prices", self.gpu_prices, methods=["GET"])]

    def refuse(self, reason: str) -> Response:
        status, error, code = ERRORS.get(reason, ERRORS["http_500"])
        return Json({"error": error, "message": error, "code": code, "type": "client_error"}, status)

    async def gpu_prices(self, _request: Request) -> Response:
        models = [self._model(card, price) for card, price in self._listed.items()]
        return Json({"availability": _sum(models), "models": models})

    def _model(self, card: Card, listed: Decimal) -> dict[str, Any]:
        market = self.market
        hosts = market.whole(1, 9, card.slug, "hosts")
        total = hosts * market.whole(1, 8, card.slug, "each")
        free = round(total * max(0.0, market.level(card.slug) - 0.1))
        free_hosts = min(hosts, free)
        return {
            "vendor": card.vendor,
            "model": card.akash,
            "ram": f"{card.memory_gb}Gi",
            "interface": card.akash_interface,
            "availability": {"total": total, "available": free},
            "providerAvailability": {"total": hosts, "available": free_hosts},
            # Without a host that could bid there is no price.
            "price": self._price(card, listed, hosts) if free_hosts else None,
        }

    def _price(self, card: Card, listed: Decimal, hosts: int) -> dict[str, Any]:
        """USD per GPU-hour over the hosts' bids; the published price is the cheapest's."""
        now = self.market.drift(listed, card.slug)
        bids = [scale(now, 1 + 0.7 * self.market.chance(card.slug, "bid", host)) for host in range(1, hosts)]
        bids = [_round(bid) for bid in (now, *bids)]
        mean = _round(sum(bids, Decimal(0)) / len(bids))
        return {
            "currency": "USD",
            "min": min(bids),
            "max": max(bids),
            "avg": mean,
            "weightedAverage": mean,
            "med": median(bids),
        }


def _round(price: Decimal) -> Decimal:
    return price.quantize(CENT if price >= 1 else FINE)


def _sum(models: list[dict[str, Any]]) -> dict[str, int]:
    counts = [model["availability"] for model in models]
    return {name: sum(count[name] for count in counts) for name in ("total", "available")}
