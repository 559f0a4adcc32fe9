"""Compute credits and usage: granted, handed on, spent, expired, metered."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from accounts.models import Organisation
from billing import credits, ledger, lots, tasks, usage, wallet
from billing.models import CreditLot
from billing.usage import NextHold
from lib.clock import now
from marketplace.models import Provider
from pods import metering
from pods.models import Payer, Placement, Pod, Usage
from pods.states import PodStatus
from tests.billing.money import fund
from tests.crash.books import open_holds
from tests.crash.flow import Facts, Flow, ask, customer, organisation_of
from tests.people import make_organisation

Source = lots.Source


def left(organisation: Organisation) -> Decimal:
    assert open_holds(organisation) == 0
    return wallet.balance(organisation, lots.CURRENCY).available


class Grant(Flow):
    name = "credits at sign-up"

    def prepare(self) -> Facts:
        return customer()[1]

    def act(self, facts: Facts) -> None:
        credits.grant_signup_credits(organisation_of(facts))

    def check(self, facts: Facts) -> None:
        assert left(organisation_of(facts)) == 10
        assert CreditLot.objects.filter(organisation=facts["organisation"]).count() == 1


class HandOn(Flow):
    name = "credits transferred"

    def prepare(self) -> Facts:
        facts = customer()[1]
        fund(organisation_of(facts), "5", lots.CURRENCY)
        return {**facts, "receiver": str(make_organisation("Receiver").pk)}

    def act(self, facts: Facts) -> None:
        receiver = Organisation.objects.get(pk=facts["receiver"])
        ask(facts, "credits/transfer", {"to": receiver.public_id, "amount": "2"})

    def check(self, facts: Facts) -> None:
        receiver = Organisation.objects.get(pk=facts["receiver"])
        assert [left(organisation_of(facts)), left(receiver)] == [3, 2]


class Spend(Flow):
    """A reserve, what was used of it in two parts, and the rest given back."""

    name = "credits spent"

    def prepare(self) -> Facts:
        facts = customer()[1]
        fund(organisation_of(facts), "5", lots.CURRENCY)
        return {**facts, "holds": [str(uuid4()), str(uuid4())], "usages": [str(uuid4()), str(uuid4())]}

    def act(self, facts: Facts) -> None:
        organisation = organisation_of(facts)
        first, second = map(UUID, facts["holds"])
        usage.reserve(
            organisation, payer="credits", currency="CREDIT", amount=Decimal(2), source_id="pod", hold_id=first
        )
        self.use(organisation, first, facts["usages"][0], NextHold(second, Decimal(2)))
        self.use(organisation, second, facts["usages"][1], None)

    def use(self, organisation: Organisation, hold: UUID, usage_id: str, next_hold: NextHold | None) -> None:
        usage.settle(
            hold,
            organisation=organisation,
            currency="CREDIT",
            usage_id=UUID(usage_id),
            amount=Decimal("1.5"),
            operator=None,
            provider_slug="catalyst",
            keep_open=next_hold,
        )

    def check(self, facts: Facts) -> None:
        assert left(organisation_of(facts)) == 2


class Expire(Flow):
    name, is_asked_for = "credits expired", False

    def prepare(self) -> Facts:
        facts = customer()[1]
        organisation = organisation_of(facts)
        fund(organisation, "5", lots.CURRENCY)
        yesterday = now() - timedelta(days=1)
        for amount in (2, 3):
            lots.grant(organisation, Decimal(amount), id=uuid4(), source=Source.SIGN_UP, expires_at=yesterday)
        return facts

    def act(self, facts: Facts) -> None:
        tasks.expire_credits()

    def check(self, facts: Facts) -> None:
        assert left(organisation_of(facts)) == 5


class Meter(Flow):
    """A pod at 3.6 dollars an hour, seen for 100 seconds; it runs on, with the next minutes held."""

    name, is_asked_for = "usage settled", False

    def prepare(self) -> Facts:
        facts = customer()[1]
        organisation = organisation_of(facts)
        fund(organisation, "10")
        provider, _made = Provider.objects.get_or_create(slug="vast", defaults={"name": "Vast"})
        pod = Pod.objects.create(
            organisation=organisation, name="job", mode="SANDBOX", status=PodStatus.RUNNING, epoch=1, payer=Payer.WALLET
        )
        began, price = now() - timedelta(seconds=100), Decimal("3.6")
        placement = Placement.objects.create(
            pod=pod, epoch=1, provider=provider, status=Placement.Status.LIVE, payer=Payer.WALLET, currency="USD",
            price_per_hour=price, provider_price_per_hour=price, reached_at=began, seen_at=began, ref="r",
        )  # fmt: skip
        placement.pod = pod
        metering.open_hold(placement)
        seen = {"seen_at": began + timedelta(seconds=100), "meter_due_at": now()}
        Placement.objects.filter(pk=placement.pk).update(**seen)
        return {**facts, "placement": str(placement.pk)}

    def act(self, facts: Facts) -> None:
        metering.meter(UUID(facts["placement"]))

    def check(self, facts: Facts) -> None:
        organisation = organisation_of(facts)
        assert [row.amount for row in Usage.objects.filter(placement=facts["placement"])] == [Decimal("0.1")]
        balance = wallet.balance(organisation, "USD")
        assert (balance.available, balance.held) == (Decimal("9.0"), Decimal("0.9"))
        assert open_holds(organisation) == 1
        hold = Placement.objects.get(pk=facts["placement"]).hold_id
        assert hold is not None
        assert ledger.find_hold(hold).amount == Decimal("0.9")


FLOWS: tuple[Flow, ...] = (Grant(), HandOn(), Spend(), Expire(), Meter())
