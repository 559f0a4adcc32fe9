"""What running on an offer costs: shown before, charged after, from one function."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from billing.credits import rate
from lib.clock import now
from lib.money import round_money
from marketplace.gpus import models_by_slug
from marketplace.models import Offer
from marketplace.pricing import all_in
from pods.models import Payer, PodSpec

DRIFT = Decimal("1.02")
HOURS_PER_DAY = Decimal(24)
HOURS_PER_MONTH = Decimal(730)
# The provider whose machines report to us; compute credits pay for these alone.
OWN_NODES = "catalyst"


@dataclass(frozen=True, slots=True)
class Price:
    """Per hour, in `currency`. `provider_per_hour` is the provider's own USD for the offer, without disk."""

    currency: str
    gpu: Decimal
    disk_running: Decimal
    disk_stopped: Decimal
    fee: Decimal
    provider_per_hour: Decimal

    @property
    def per_hour(self) -> Decimal:
        return round_money(self.gpu + self.disk_running + self.fee)

    @property
    def per_day(self) -> Decimal:
        return round_money(self.per_hour * HOURS_PER_DAY)

    @property
    def per_month(self) -> Decimal:
        """730 hours, the mean month."""
        return round_money(self.per_hour * HOURS_PER_MONTH)


def price_of(spec: PodSpec, offer: Offer) -> Price:
    """The price of this spec on this offer, from the wallet, in credits, or as the provider will bill it."""
    if spec.payer == Payer.CREDITS:
        gpu = rate(offer.gpu_id, now(), name=models_by_slug()[offer.gpu_id].name) * offer.gpu_count
        return Price("CREDIT", gpu, Decimal(0), Decimal(0), Decimal(0), offer.price_per_hour)
    parts = all_in(offer, disk_gb=spec.disk_gb)
    fee = Decimal(0) if spec.payer == Payer.OWN_KEY else parts.fee
    return Price("USD", parts.gpu, parts.disk_running, parts.disk_stopped, fee, offer.price_per_hour)


def price_ceiling(spec: PodSpec, quoted: Decimal | None) -> Decimal | None:
    """The most that an offer may cost per hour (without disk): the customer's limit, else 2 % above what was shown."""
    if spec.max_price_per_hour is not None:
        return spec.max_price_per_hour
    return None if quoted is None else round_money(quoted * DRIFT)
