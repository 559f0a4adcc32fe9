"""Small acts that tests of disputes begin with."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from accounts.models import Organisation
from billing import ledger, usage
from billing.accounts import Kind, account_of
from billing.disputes import opening
from lib.clock import now
from tests.billing.money import fund, leg
from tests.billing.money import opening as opening_account
from tests.people import Person

if TYPE_CHECKING:
    from billing.models import Dispute
    from pods.models import Placement, Pod

MINUTE = timedelta(minutes=1)


def rent(
    renter: Organisation, owner: Organisation | None, amounts: Iterable[str], *, until: datetime | None = None
) -> Pod:
    """A pod on the owner's machine whose minutes have cost this much, metered and paid; the last ended just now."""
    from marketplace.models import Provider
    from pods.models import Pod

    Provider.objects.get_or_create(slug="catalyst", defaults={"name": "Catalyst"})
    pod = Pod.objects.create(organisation=renter, name="job", mode="SANDBOX", payer="wallet", status="running", epoch=0)
    use(pod, owner, amounts, until=until)
    return pod


def use(pod: Pod, owner: Organisation | None, amounts: Iterable[str], *, until: datetime | None = None) -> Placement:
    """Another placement of a pod, and what its minutes have cost."""
    from pods.models import Placement, Pod, Usage

    sums = [Decimal(amount) for amount in amounts]
    fund(pod.organisation, str(sum(sums)))
    pod.epoch += 1
    Pod.objects.filter(pk=pod.pk).update(epoch=pod.epoch)
    place = Placement.objects.create(
        pod=pod,
        epoch=pod.epoch,
        provider_id="catalyst",
        operator=owner,
        status="gone",
        payer="wallet",
        price_per_hour=1,
        provider_price_per_hour=1,
        billed_amount=sum(sums),
    )
    start = (until or now()) - MINUTE * len(sums)
    for number, amount in enumerate(sums):
        row = Usage.objects.create(
            placement=place,
            epoch=place.epoch,
            started_at=start + MINUTE * number,
            ended_at=start + MINUTE * (number + 1),
            seconds=60,
            amount=amount,
            currency="USD",
            payer="wallet",
        )
        usage.settle(
            None,
            organisation=pod.organisation,
            currency="USD",
            usage_id=row.pk,
            amount=amount,
            operator=owner,
            provider_slug="catalyst",
            keep_open=None,
        )
    return place


def dispute_it(renter: Person, pod: Pod, amount: str | None = None, **given: Any) -> Dispute:
    words = {"reason": "interrupted", "text": "It stood still.", "idempotency_key": uuid4().hex}
    return opening.open_dispute(actor=renter.actor, pod_id=pod.public_id, amount=amount, **{**words, **given})


def earnings(owner: Organisation) -> tuple[Any, Any]:
    """What an owner has, and what is set aside of it."""
    account = account_of(owner, Kind.EARNINGS, "USD")
    return account.credits_posted - account.debits_posted, account.debits_pending


def pay_out(owner: Organisation, amount: str) -> None:
    ledger.post([leg(account_of(owner, Kind.EARNINGS, "USD"), opening_account(), amount)])
