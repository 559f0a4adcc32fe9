"""What is disputed, taken back or rewarded: disputes, chargebacks, referrals."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import ClassVar

from django.conf import settings

from accounts.models import Organisation, User
from billing import chargebacks, lots, tasks, wallet
from billing.accounts import Kind, account_of
from billing.disputes import deciding, opening
from billing.lifecycle import ChargebackStatus, DisputeStatus, ReferralStatus
from billing.models import Chargeback, Dispute, Payment, Referral
from billing.payments.services import STRIPE
from billing.payments.services import stripe as adapter
from lib.clock import now
from tests.billing.disputing import dispute_it, earnings, rent
from tests.billing.referring import refer
from tests.billing.taken_back import decide, dispute, pay_by_card, pay_plan_by_card
from tests.crash.flow import Facts, Flow, charges_of, customer, organisation_of, told, worker
from tests.people import make_user

HOUR = timedelta(hours=1)


class Decide(Flow):
    """Staff decide, nobody appeals, and the deadline closes it."""

    name = "dispute decided"

    def prepare(self) -> Facts:
        (renter, facts), (owner, _facts) = customer(), customer()
        assert renter.organisation is not None
        assert owner.organisation is not None
        row = dispute_it(renter, rent(renter.organisation, owner.organisation, ["1"]))
        opening.answer(dispute=row, side=owner.organisation, text="It ran.", actor=owner.actor)
        staff = make_user(f"{facts['key']}@staff.example", is_staff=True)
        return {**facts, "dispute": str(row.pk), "staff": str(staff.pk)}

    def act(self, facts: Facts) -> None:
        row, person = Dispute.objects.get(pk=facts["dispute"]), User.objects.get(pk=facts["staff"])
        deciding.decide(dispute=row, refund="0.4", note="Some of it.", person=person)
        self.work(facts)

    def work(self, facts: Facts) -> None:
        decided = Dispute.objects.filter(pk=facts["dispute"], status=DisputeStatus.DECIDED)
        decided.update(due_at=now() - HOUR)
        tasks.reconcile_disputes()

    def check(self, facts: Facts) -> None:
        row = Dispute.objects.get(pk=facts["dispute"])
        assert (row.status, row.refunded, row.decisions.count()) == (DisputeStatus.FINAL, Decimal("0.4"), 1)
        assert wallet.balance(row.renter, "USD").available == Decimal("0.4")
        assert earnings(row.owner) == (Decimal("0.51"), 0)  # 85 % of what the renter did not get back


class Reward(Flow):
    """A newcomer's first paid month is over."""

    name, peers, is_asked_for = "referral rewarded", ("stripe",), False

    def prepare(self) -> Facts:
        (referrer, facts), (newcomer, _facts) = customer(), customer()
        assert referrer.organisation is not None
        assert newcomer.organisation is not None
        referral = refer(referrer.organisation, newcomer.organisation)
        payment = pay_plan_by_card(newcomer)
        Payment.objects.filter(pk=payment.pk).update(paid_until=now() - HOUR)
        return {**facts, "referral": str(referral.pk)}

    def act(self, facts: Facts) -> None:
        for _ in range(2):  # the payment is noted, then rewarded
            tasks.reconcile_referrals()

    def check(self, facts: Facts) -> None:
        referral = Referral.objects.get(pk=facts["referral"])
        assert referral.status == ReferralStatus.REWARDED
        for side in (referral.referrer, referral.referred):
            assert wallet.balance(side, lots.CURRENCY).available == settings.REFERRAL_CREDITS


class SomeChargeback(Flow):
    """A payer's bank takes a top-up back, and decides."""

    peers = ("stripe",)
    decision: ClassVar[str]
    returned: ClassVar[int]
    evidence: ClassVar[dict[str, str]] = {}

    def prepare(self) -> Facts:
        person, facts = customer()
        payment = pay_by_card(person)
        return {**facts, "ref": dispute(settings.STRIPE_URL, payment)}

    def act(self, facts: Facts) -> None:
        chargebacks.hear(STRIPE, facts["ref"])
        row = Chargeback.objects.get(service_ref=facts["ref"])
        if self.evidence:
            chargebacks.submit(chargeback=row, evidence=self.evidence, actor=worker())
        with suppress(AssertionError):  # the bank has decided before
            decide(settings.STRIPE_URL, facts["ref"], self.decision)
        chargebacks.bring_up(row.pk)

    def work(self, facts: Facts) -> None:
        tasks.reconcile_chargebacks()

    def check(self, facts: Facts) -> None:
        organisation = organisation_of(facts)
        row = Chargeback.objects.get(payment__organisation=organisation)
        assert row.status == self.decision
        assert [row.withdrawn, row.returned] == [25, self.returned]
        assert wallet.balance(organisation, "USD").available == self.returned
        assert owed(organisation) == 0
        assert told(organisation) == ["chargeback.opened", "chargeback.decided"]
        assert len(charges_of(organisation)) == 1
        details = adapter()._api.disputes.retrieve(row.service_ref).evidence_details
        assert details.submission_count == bool(self.evidence)


class Won(SomeChargeback):
    """After we have sent evidence."""

    name, decision, returned = "chargeback won", ChargebackStatus.WON, 25
    evidence = {"product_description": "GPU time"}


class Lost(SomeChargeback):
    name, decision, returned = "chargeback lost", ChargebackStatus.LOST, 0


def owed(organisation: Organisation) -> Decimal:
    account = account_of(organisation, Kind.OWED_TO_US, "USD")
    return account.debits_posted - account.credits_posted


FLOWS: tuple[Flow, ...] = (Decide(), Reward(), Won(), Lost())
