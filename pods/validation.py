"""Can this configuration be deployed on this offer, now, by this organisation? Each no has a code and a reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings
from django.utils.translation import gettext as _

from billing.wallet import balances
from lib.clock import now
from lib.errors import AppError
from marketplace.models import Offer
from marketplace.offers import usable, why_not
from pods import limits, metering
from pods.configs import check_spec
from pods.models import Payer, PodConfig
from pods.placing import rentable_providers
from pods.pricing import OWN_NODES, Price, price_ceiling, price_of


@dataclass(frozen=True, slots=True)
class Problem:
    field: str
    code: str
    message: str


def validate(config: PodConfig, offer: Offer | None) -> list[Problem]:
    """Everything that stands in the way; empty when it can be deployed. Without an offer, only what does not need one."""
    found = [Problem(field, "invalid", text) for field, texts in check_spec(config).items() for text in texts]
    found += _check_mode(config)
    found += _check_plan(config)
    if offer is None:
        found.append(
            Problem("offer", "no_offer", _("No offer matches: loosen the filters, or choose an offer yourself."))
        )
        return found
    found += _check_offer(config, offer)
    found += _check_provider(config, offer)
    found += _check_payer(config, offer)
    if found:
        return found
    try:
        return list(_check_funds(config, price_of(config, offer)))
    except AppError as refusal:  # such as an offer that no credit rate names
        return [Problem("payer", refusal.code, refusal.message)]


def _check_mode(config: PodConfig) -> Iterator[Problem]:
    if config.mode != settings.MODE:
        values = {"made": config.mode, "here": settings.MODE}
        message = _("It was made for %(made)s and this installation is %(here)s.") % values
        yield Problem("mode", "wrong_mode", message)


def _check_plan(config: PodConfig) -> Iterator[Problem]:
    refusal = limits.refusal_of_next_pod(config.organisation)
    if refusal:
        yield Problem("plan", "plan_limit", refusal)


def _check_offer(config: PodConfig, offer: Offer) -> Iterator[Problem]:
    for reason in _reasons_against(config, offer):
        yield Problem("offer", "not_usable", reason)
    ceiling = price_ceiling(config, None)
    if ceiling is not None and offer.price_per_hour > ceiling:
        values = {"price": offer.price_per_hour, "most": ceiling}
        message = _("It costs %(price)s USD/h and your limit is %(most)s USD/h.") % values
        yield Problem("max_price_per_hour", "too_dear", message)
    if offer.disk_gb is not None and config.disk_gb > offer.disk_gb:
        yield Problem("disk_gb", "too_large", _("This offer has at most %s GB of disk.") % round(offer.disk_gb))
    if offer.vram_gb < config.min_vram_gb:
        yield Problem("min_vram_gb", "too_large", _("This offer has %s GB of VRAM per GPU.") % round(offer.vram_gb, 1))
    if config.ttl_hours and offer.max_duration_s and config.ttl_hours * 3600 > offer.max_duration_s:
        hours = offer.max_duration_s // 3600
        yield Problem("ttl_hours", "too_long", _("This offer ends in %s hours.") % hours)


def _reasons_against(config: PodConfig, offer: Offer) -> list[str]:
    """As the market says it; with the customer's own key, ours is not needed."""
    if config.payer != Payer.OWN_KEY:
        return usable(offer)
    return why_not(
        source=offer.source,
        withdrawn=offer.withdrawn_at is not None,
        age_s=(now() - offer.observed_at).total_seconds(),
        available=offer.available_count,
        provider=offer.provider.name,
        rentable=offer.provider.enabled and "rent" in offer.provider.capabilities,
    )


def _check_provider(config: PodConfig, offer: Offer) -> Iterator[Problem]:
    provider = offer.provider
    if offer.kind == Offer.Kind.SPOT and "spot" not in provider.capabilities:
        yield Problem("kind", "no_spot", _("%s has no spot instances.") % provider.name)
    if provider.pk != OWN_NODES and not config.image:
        yield Problem("image", "image_needed", _("%s runs container images: name one.") % provider.name)
    if provider.pk == OWN_NODES and not config.command and not config.image:
        yield Problem("command", "command_needed", _("Name what is to run."))
    if provider.pk != OWN_NODES and config.command and config.command[0].startswith("catalyst-job:"):
        yield Problem("command", "own_nodes_only", _("This job ships with our agent and runs on Catalyst nodes."))


def _check_payer(config: PodConfig, offer: Offer) -> Iterator[Problem]:
    if offer.provider_id in rentable_providers(config):
        return
    if config.payer == Payer.CREDITS:
        yield Problem("payer", "credits_here_only", _("Compute credits pay for Catalyst nodes."))
    elif config.payer == Payer.OWN_KEY:
        yield Problem("provider_account", "other_provider", _("Your key is for another provider."))
    else:
        yield Problem("payer", "no_platform_key", _("%s can only be used with your own key.") % offer.provider.name)


def _check_funds(config: PodConfig, price: Price) -> Iterator[Problem]:
    if config.payer == Payer.OWN_KEY:
        return
    needed = metering.cost(metering.MIN_START_SECONDS, price.per_hour)
    if config.spend_cap is not None:
        needed = min(needed, config.spend_cap)
    have = balances(config.organisation).get(price.currency, Decimal(0))
    if have < needed:
        values = {"needed": needed, "currency": price.currency, "have": have}
        message = _("The first 15 minutes cost %(needed)s %(currency)s and the balance is %(have)s.") % values
        yield Problem("payer", "no_funds", message)
