"""A wallet that is unlinked is paid to no more."""

from __future__ import annotations

from contextlib import suppress

from django.db import transaction
from django.db.models import QuerySet

from accounts import audit
from accounts.actor import Actor
from accounts.models import Organisation
from billing.chain import links, withdrawals
from billing.models import LinkedWallet, Payout, PayoutMethod, Withdrawal
from billing.payouts import methods
from billing.states import PayoutStatus
from lib.errors import Conflict


@transaction.atomic
@audit.at_the_end()
def unlink(wallet: LinkedWallet, *, actor: Actor) -> None:
    """Payout methods to it are removed with it. What waits to be paid there is called off; of what is sent, what no
    transaction is signed for is called off as well, and comes back when the payout is looked at.

    Raises Forbidden for a program when a payout method leads there: removing one is for people.
    """
    # What sends a payout to the wallet waits for its turn, and finds it unlinked.
    organisation = Organisation.objects.select_for_update(no_key=True).get(pk=wallet.organisation_id)
    links.unlink(wallet, actor=actor)
    leading_there = PayoutMethod.objects.filter(
        organisation=organisation, kind=PayoutMethod.Kind.USDC, destination__endswith=f":{wallet.address}"
    )
    queued = _lock_all(organisation, leading_there)
    for method in leading_there.filter(removed_at=None):
        methods.remove(method, actor=actor)
    for withdrawal in queued:
        with suppress(Conflict):  # it is signed: only the chain decides
            withdrawals.cancel(withdrawal, actor=actor, reason="wallet_unlinked")


def _lock_all(organisation: Organisation, leading_there: QuerySet[PayoutMethod]) -> list[Withdrawal]:
    """The payouts and their withdrawals, before the first posting: whoever ends one holds it, and posts then. Answers
    the withdrawals of what is sent."""
    open_ = Payout.objects.filter(method__in=leading_there, status__in=(PayoutStatus.NEW, PayoutStatus.SENT))
    payouts = open_.select_for_update(no_key=True).order_by("pk")
    keys = [payout.public_id for payout in payouts if payout.status == PayoutStatus.SENT]
    theirs = Withdrawal.objects.filter(organisation=organisation, idempotency_key__in=keys)
    return list(theirs.select_for_update(no_key=True).order_by("pk"))
