"""From a configuration and an offer to a pod: estimated, checked, then written once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts import audit
from accounts.actor import Actor
from accounts.models import Organisation
from billing.wallet import balances
from lib.clock import now
from lib.errors import AppError, Conflict, Forbidden, Invalid, PaymentRequired
from marketplace.models import Offer
from pods import actions, lifecycle, spend_limits
from pods.models import Payer, Pod, PodConfig, PodSpec
from pods.placing import choose_offers
from pods.pricing import DRIFT, Price, price_of
from pods.states import PodStatus, Reason
from pods.validation import Problem, validate

__all__ = ["Estimate", "Problem", "deploy", "estimate", "estimate_for", "offer_for", "validate"]

REFUSALS = {"no_funds": PaymentRequired, "plan_limit": Forbidden, "invalid": Invalid}
SPEC_COLUMNS = [field.name for field in PodSpec._meta.get_fields()]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What it will cost on `offer`, and how many hours the balance lasts (None: nothing is taken from a balance)."""

    offer: Offer
    price: Price
    runway_hours: float | None


def offer_for(config: PodConfig, offer: Offer | None = None) -> Offer | None:
    """The offer that was chosen, else the best one that fits."""
    chosen = offer or config.offer
    return chosen or next(iter(choose_offers(config)), None)


def estimate(config: PodConfig, offer: Offer | None = None) -> Estimate:
    """Raises Conflict (`no_offer`) when nothing fits."""
    found = offer_for(config, offer)
    if found is None:
        raise Conflict(_("No offer matches: loosen the filters, or choose an offer yourself."), code="no_offer")
    price = price_of(config, found)
    runway = None
    if config.payer != Payer.OWN_KEY and price.per_hour > 0:
        have = balances(config.organisation).get(price.currency, Decimal(0))
        runway = float(have / price.per_hour)
    return Estimate(found, price, runway)


def estimate_for(offer: Offer, *, disk_gb: int) -> Price:
    """What an offer costs from the wallet, for somebody who has no organisation yet."""
    return price_of(PodConfig(disk_gb=disk_gb, payer=Payer.WALLET), offer)


def deploy(
    *,
    organisation: Organisation,
    config: PodConfig,
    offer: Offer | None,
    actor: Actor,
    idempotency_key: str,
    expected_price_per_hour: Decimal | None = None,
) -> Pod:
    """Write the pod; workers do the rest. The same key answers the same pod.

    `expected_price_per_hour` is what the customer saw, all in; more than 2 % above it is refused (`price_changed`).
    Raises AppError with the fields that stand in the way.
    """
    if not idempotency_key or len(idempotency_key) > 120:
        raise AppError(_("Send an idempotency key of 1 to 120 characters."), code="idempotency_key_needed")
    if (there := _deployed_before(organisation, config, idempotency_key)) is not None:
        return there
    chosen = offer_for(config, offer)
    _refuse_problems(validate(config, chosen))
    assert chosen is not None
    spend_limits.require_room(organisation, actor.user, payer=config.payer)
    _refuse_drift(price_of(config, chosen).per_hour, expected_price_per_hour)
    try:
        with transaction.atomic():
            return _write_pod(
                organisation, config, chosen, actor, idempotency_key, is_choice=bool(offer or config.offer)
            )
    except IntegrityError:
        there = _deployed_before(organisation, config, idempotency_key)
        if there is None:
            raise
        return there


def _deployed_before(organisation: Organisation, config: PodConfig, key: str) -> Pod | None:
    there = Pod.objects.filter(organisation=organisation, deploy_key=key).first()
    if there is not None and there.config_id != config.pk:
        raise Conflict(_("This key was used for another deployment."), code="idempotency_key_reused")
    return there


def _refuse_problems(problems: list[Problem]) -> None:
    if not problems:
        return
    fields: dict[str, list[str]] = {}
    for problem in problems:
        fields.setdefault(problem.field, []).append(problem.message)
    first = problems[0]
    raise REFUSALS.get(first.code, Conflict)(first.message, code=first.code, fields=fields)


def _refuse_drift(price: Decimal, expected: Decimal | None) -> None:
    if expected is not None and price > expected * DRIFT:
        values = {"old": expected, "new": price}
        message = _("The price changed from %(old)s to %(new)s per hour. Please check it.") % values
        raise Conflict(message, code="price_changed", fields={"expected_price_per_hour": [str(price)]})


def _write_pod(
    organisation: Organisation, config: PodConfig, offer: Offer, actor: Actor, key: str, *, is_choice: bool
) -> Pod:
    """The pod with all that the configuration says. A chosen offer also says what to look for when it is gone."""
    columns = {name: getattr(config, name) for name in SPEC_COLUMNS}
    if is_choice:
        columns |= {"gpu_count": offer.gpu_count, "kind": offer.kind}
        columns["gpu_query"] = columns["gpu_query"] or offer.gpu_id
    pod = Pod.objects.create(
        organisation=organisation,
        config=config,
        deploy_key=key,
        mode=config.mode,
        offer=offer if is_choice else None,
        quoted_price_per_hour=offer.price_per_hour,
        created_by=actor.user,
        ends_at=now() + timedelta(hours=config.ttl_hours) if config.ttl_hours else None,
        **columns,
    )
    pod.refresh_from_db()
    if actor.kind in actions.AUDITED:
        audit.record(organisation.pk, actor, "pod.deploy", pod, {"name": pod.name})
    lifecycle.record(pod, "deployed", actor=actor, new_status=PodStatus.QUEUED, reason=Reason.REQUESTED)
    lifecycle.tell_pages(pod)
    lifecycle.wake(pod.pk)
    return pod
