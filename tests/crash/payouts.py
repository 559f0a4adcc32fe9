"""Earnings paid out by Stripe, PayPal, our bank and in USDC; refused, sent back, and moved to the owner's wallet."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

from django.conf import settings

from accounts.models import Organisation, User
from billing import ledger, tasks, wallet
from billing.accounts import Kind, account_of
from billing.lifecycle import PayoutStatus, WithdrawalStatus
from billing.models import BankFile, LinkedWallet, Payout, Transfer, Withdrawal
from billing.payouts import bank, requesting, sending
from lib.clock import now
from lib.errors import Conflict
from lib.secrets import seal
from tests.billing.chain.driver import Wallet
from tests.billing.disputing import earnings
from tests.billing.earning import can_be_paid
from tests.billing.money import leg, opening
from tests.billing.test_bank_file import IBAN
from tests.billing.test_payout_sending import decide, happen
from tests.billing.test_stripe_connect import new_payee, onboard, order, transfers
from tests.crash.books import open_holds
from tests.crash.chain import chain, fund_treasury
from tests.crash.flow import Facts, Flow, ask, customer, organisation_of, told, worker
from tests.crash.payments import paypal, usd
from tests.people import Person, make_user


def earn(organisation: Organisation | None) -> None:
    """85 dollars, long enough ago to be paid out."""
    assert organisation is not None
    ledger.post([leg(opening(), account_of(organisation, Kind.EARNINGS, "USD"), "85")])


class SomePayout(Flow):
    """50 of 85 dollars, asked for and sent; a worker sees what has become of it."""

    is_asked_for = False
    ends: ClassVar[str] = PayoutStatus.PAID
    left: ClassVar[int] = 35

    def add_method(self, person: Person) -> Facts:
        raise NotImplementedError

    def at_payer(self, payout: Payout) -> list[Decimal]:
        """What whoever pays has paid of it."""
        raise NotImplementedError

    def prepare(self) -> Facts:
        person, facts = customer()
        earn(person.organisation)
        return {**facts, **self.add_method(person)}

    def ask_for(self, facts: Facts) -> Payout:
        return requesting.request_payout(
            organisation=organisation_of(facts), amount="50", method=None, actor=worker(), key=facts["key"]
        )

    def act(self, facts: Facts) -> None:
        payout = self.ask_for(facts)
        for _ in range(2):  # it is sent, and then paid
            sending.bring_up(payout.pk)

    def work(self, facts: Facts) -> None:
        tasks.reconcile_payouts()

    def check(self, facts: Facts) -> None:
        payout = Payout.objects.get(organisation=facts["organisation"])
        assert (payout.status, open_holds(payout.organisation)) == (self.ends, 0)
        assert earnings(payout.organisation) == (self.left, 0)
        assert f"payout.{self.ends}" in told(payout.organisation)
        assert self.at_payer(payout) == [50]


class PayPalPayout(SomePayout):
    name, peers = "payout by PayPal", ("paypal",)

    def add_method(self, person: Person) -> Facts:
        return {"receiver": can_be_paid(person).destination}

    def at_payer(self, payout: Payout) -> list[Decimal]:
        batch = paypal().ask(f"v1/payments/payouts/{payout.service_ref}")
        return [Decimal(item["payout_item"]["amount"]["value"]) for item in batch["items"]]


class PayPalRefuses(PayPalPayout):
    name, ends, left = "payout refused by PayPal", PayoutStatus.FAILED, 85

    def add_method(self, person: Person) -> Facts:
        facts = super().add_method(person)
        decide(settings.PAYPAL_URL, facts["receiver"], "FAILED")
        return facts


class PayPalReturns(PayPalPayout):
    """Paid, and taken back long after: PayPal has told us so."""

    name, ends, left = "payout returned by PayPal", PayoutStatus.RETURNED, 85

    def prepare(self) -> Facts:
        facts = super().prepare()
        super().act(facts)
        payout = Payout.objects.get(organisation=facts["organisation"])
        happen(settings.PAYPAL_URL, payout, "REVERSED")
        return {**facts, "payout": str(payout.pk)}

    def act(self, facts: Facts) -> None:
        sending.bring_up(facts["payout"])


class StripePayout(SomePayout):
    name, peers = "payout by Stripe", ("stripe",)

    def set_up(self) -> None:
        order("5000")  # money of ours there, for all who are paid

    def add_method(self, person: Person) -> Facts:
        payee = new_payee()
        onboard(payee)
        can_be_paid(person, kind="stripe", destination=payee, display="Stripe")
        return {}

    def at_payer(self, payout: Payout) -> list[Decimal]:
        return [Decimal(transfer.amount) / 100 for transfer in transfers(payout.public_id)]


class BankPayout(SomePayout):
    """Staff make the file, hand it to the bank, and mark it as paid."""

    name, is_asked_for = "payout by bank file", True

    def add_method(self, person: Person) -> Facts:
        account: Any = {"sealed_account": seal(IBAN), "bic": "BNPAFRPP", "holder": "Andes Vision"}
        can_be_paid(person, kind="bank", destination="", **account)
        return {"staff": str(make_user(f"staff-{person.user.email}", is_staff=True).pk)}

    def act(self, facts: Facts) -> None:
        payout, person = self.ask_for(facts), User.objects.get(pk=facts["staff"])
        with suppress(Conflict):  # exported before
            bank.export(person=person, actor=worker())
        with suppress(Conflict):  # marked before
            bank.mark_file_paid(BankFile.objects.get(payouts=payout), person=person, actor=worker())

    def at_payer(self, payout: Payout) -> list[Decimal]:
        """In all files that name it."""
        name = payout.public_id.replace("_", "-").encode()
        contents = [bank.read(file, actor=worker()) for file in BankFile.objects.all()]
        assert sum(content.count(b"<EndToEndId>" + name) for content in contents) == 1
        return [
            Decimal(found.decode())
            for content in contents
            if name in content
            for found in re.findall(rb"<InstdAmt[^>]*>([0-9.]+)<", content)
        ]


class UsdcPayout(SomePayout):
    """By the withdrawals' outbox: converted, queued, signed, sent, final, booked."""

    name, peers = "payout in USDC", ("chain",)

    def set_up(self) -> None:
        fund_treasury()

    def add_method(self, person: Person) -> Facts:
        to = Wallet().address
        assert person.organisation is not None
        known_since = now() - timedelta(days=2)
        LinkedWallet.objects.create(organisation=person.organisation, address=to, linked_at=known_since)
        can_be_paid(person, kind="usdc", destination=f"sandbox:{to}", display=to)
        return {"to": to}

    def act(self, facts: Facts) -> None:
        payout = self.ask_for(facts)
        sending.bring_up(payout.pk)
        tasks.follow_chains()
        chain().finalize()
        tasks.follow_chains()
        sending.bring_up(payout.pk)

    def work(self, facts: Facts) -> None:
        tasks.follow_chains()
        chain().finalize()
        super().work(facts)

    def check(self, facts: Facts) -> None:
        super().check(facts)
        withdrawal = Withdrawal.objects.get(organisation=facts["organisation"])
        assert (withdrawal.status, withdrawal.attempts.count()) == (WithdrawalStatus.DONE, 1)
        assert wallet.balance(withdrawal.organisation, "USDC").available == 0

    def at_payer(self, payout: Payout) -> list[Decimal]:
        return [chain().usdc_of(payout.method.destination.removeprefix("sandbox:"))]


class MoveToWallet(Flow):
    name = "earnings moved to the wallet"

    def prepare(self) -> Facts:
        person, facts = customer()
        earn(person.organisation)
        return facts

    def act(self, facts: Facts) -> None:
        ask(facts, "payouts/to-wallet", {"amount": "50"})

    def check(self, facts: Facts) -> None:
        organisation = organisation_of(facts)
        assert earnings(organisation) == (35, 0)
        assert usd(organisation) == 50
        assert Transfer.objects.filter(source_type=requesting.MOVE_SOURCE, source_id=str(organisation.pk)).count() == 1


FLOWS: tuple[Flow, ...] = (
    PayPalPayout(),
    PayPalRefuses(),
    PayPalReturns(),
    StripePayout(),
    BankPayout(),
    UsdcPayout(),
    MoveToWallet(),
)
