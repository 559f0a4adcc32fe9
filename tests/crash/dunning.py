"""Renewals that a card does not pay: the first failure, a retry that succeeds, and the last one, which ends the plan."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from billing import dunning, payment_methods, plans, tasks
from billing.lifecycle import SubscriptionStatus
from billing.models import PaymentMethod, Subscription
from lib.clock import now
from lib.leases import hint
from tests.billing.stripe import FAILS_LATER, save_card
from tests.crash.flow import Facts, Flow, charges_of, mailed, organisation_of, told, worker
from tests.crash.plans import MonthOver, Renewal, check_ended
from tests.people import Person

NOT_PAID = "subscription.payment_failed"
SUBJECTS = {
    NOT_PAID: "The renewal of your GPUBroker plan could not be paid",
    "subscription.payment_recovered": "The renewal of your GPUBroker plan is paid",
    "subscription.plan_ended": "Your GPUBroker plan has ended",
}


def fail(person: Person) -> None:
    """From now on their card does not pay."""
    payment_methods.choose_default(save_card(person, FAILS_LATER), person.actor)


class NotPaid(MonthOver):
    name = "renewal not paid"

    def within_month(self, person: Person, facts: Facts) -> None:
        fail(person)

    def check(self, facts: Facts) -> None:
        organisation = organisation_of(facts)
        row = Subscription.objects.get(organisation=organisation)
        assert (row.status, row.retries) == (SubscriptionStatus.PAST_DUE, 0)
        assert plans.current_plan(organisation).slug == "pro"
        assert [charge.amount for charge in charges_of(organisation)] == [4900]
        check_told(facts, NOT_PAID)


class Recovered(Renewal):
    """By the first retry: the card can pay by now."""

    name = "renewal paid late"

    def within_month(self, person: Person, facts: Facts) -> None:
        fail(person)

    def prepare(self) -> Facts:
        facts = super().prepare()
        tasks.reconcile_subscriptions()
        [good] = PaymentMethod.objects.filter(organisation=facts["organisation"], is_default=False)
        payment_methods.choose_default(good, worker())
        due_again(facts, tries=0, method=good)
        return facts

    def check(self, facts: Facts) -> None:
        super().check(facts)
        check_told(facts, NOT_PAID, "subscription.payment_recovered")


class GivenUp(NotPaid):
    """The last retry fails as well."""

    name = "renewal never paid"

    def prepare(self) -> Facts:
        facts = super().prepare()
        tasks.reconcile_subscriptions()
        due_again(facts, tries=len(dunning.RETRY_DAYS) - 1)
        return facts

    def check(self, facts: Facts) -> None:
        check_ended(facts)
        check_told(facts, NOT_PAID, "subscription.plan_ended")


def due_again(facts: Facts, tries: int, **columns: Any) -> None:
    """The renewal has failed so many times after the first, and the day of the next try has come."""
    since = now() - timedelta(days=dunning.RETRY_DAYS[tries], minutes=1)
    row = Subscription.objects.get(organisation=facts["organisation"], status=SubscriptionStatus.PAST_DUE)
    Subscription.objects.filter(pk=row.pk).update(past_due_since=since, retries=tries, **columns)
    hint(Subscription, row.pk)


def check_told(facts: Facts, *kinds: str) -> None:
    """In the page, and by as many mails."""
    organisation = organisation_of(facts)
    assert told(organisation) == list(kinds)
    assert [subject for subject in mailed(organisation) if subject in SUBJECTS.values()] == [
        SUBJECTS[kind] for kind in kinds
    ]


FLOWS: tuple[Flow, ...] = (NotPaid(), Recovered(), GivenUp())
