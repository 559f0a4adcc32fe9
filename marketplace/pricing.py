"""What an offer costs with everything: cards, disk, traffic and our fee, per hour. Decimal, six places."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from django.conf import settings

from lib.money import round_money

HOURS_PER_MONTH = Decimal(730)  # the mean month


class Priced(Protocol):
    """The columns of an Offer that its price is made of."""

    price_per_hour: Decimal
    disk_price_gb_month: Decimal | None
    egress_price_gb: Decimal | None


@dataclass(frozen=True, slots=True)
class AllIn:
    """USD per hour for the whole offer. `complete` is False when the provider does not tell what disk or traffic cost."""

    gpu: Decimal
    disk_running: Decimal
    disk_stopped: Decimal
    traffic: Decimal
    fee: Decimal
    complete: bool

    @property
    def per_hour(self) -> Decimal:
        return round_money(self.gpu + self.disk_running + self.traffic + self.fee)

    @property
    def per_hour_stopped(self) -> Decimal:
        return self.disk_stopped


def fee_rate() -> Decimal:
    """Our share on top of a provider's price, as a fraction. Renting carries none now."""
    return Decimal(str(getattr(settings, "MARKET_FEE_RATE", "0")))


def all_in(offer: Priced, *, disk_gb: float, egress_gb_month: float = 0, hours: int = 730) -> AllIn:
    """`disk_gb` is kept all month, running or stopped; traffic is spread over the `hours` (a month) that it runs."""
    disk = _per_hour(offer.disk_price_gb_month, disk_gb, HOURS_PER_MONTH)
    traffic = _per_hour(offer.egress_price_gb, egress_gb_month, Decimal(hours))
    unknown = (disk_gb and offer.disk_price_gb_month is None) or (egress_gb_month and offer.egress_price_gb is None)
    return AllIn(
        gpu=offer.price_per_hour,
        disk_running=disk,
        disk_stopped=disk,
        traffic=traffic,
        fee=round_money(offer.price_per_hour * fee_rate()),
        complete=not unknown,
    )


def _per_hour(unit_price: Decimal | None, amount: float, hours: Decimal) -> Decimal:
    if not unit_price or not amount:
        return Decimal(0)
    return round_money(unit_price * Decimal(str(amount)) / hours)
