"""Stripe: subscriptions, invoices, proration, test clocks. All sums are computed by hand, in cents."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import stripe

from tests.sandbox.conftest import RunningPeer
from tests.sandbox.merchant import Merchant, at


@pytest.fixture
def merchant(shared_peer: Callable[[str], RunningPeer]) -> Merchant:
    """With a clock at the last day of January 2026."""
    made = Merchant(shared_peer("stripe"))
    made.start_clock(2026, 1, 31)
    return made


class TestStart:
    def test_paid_at_once(self, merchant: Merchant) -> None:
        customer = merchant.customer()
        expand = ["latest_invoice.payments", "latest_invoice.confirmation_secret"]
        begun = merchant.subscribe(customer.id, merchant.price(3000), expand=expand)
        item, invoice = begun["items"].data[0], begun.latest_invoice
        assert (begun.status, invoice.status, invoice.amount_paid) == ("active", "paid", 3000)
        assert (item.current_period_start, item.current_period_end) == (at(2026, 1, 31), at(2026, 2, 28))
        assert "current_period_end" not in begun
        assert invoice.parent.subscription_details.subscription == begun.id
        payment = invoice.payments.data[0]
        intent = merchant.api.payment_intents.retrieve(payment.payment.payment_intent)
        assert (intent.status, intent.client_secret) == ("succeeded", invoice.confirmation_secret.client_secret)
        found = merchant.api.invoice_payments.list({"payment": {"type": "payment_intent", "payment_intent": intent.id}})
        assert [each.invoice for each in found.data] == [invoice.id]

    def test_without_a_card(self, merchant: Merchant) -> None:
        customer = merchant.customer("")
        with merchant.refused(stripe.InvalidRequestError, "resource_missing"):
            merchant.subscribe(customer.id, merchant.price())
        begun = merchant.subscribe(
            customer.id,
            merchant.price(),
            payment_behavior="default_incomplete",
            payment_settings={"save_default_payment_method": "on_subscription"},
            expand=["latest_invoice.confirmation_secret"],
        )
        assert (begun.status, begun.latest_invoice.status) == ("incomplete", "open")
        intent = begun.latest_invoice.confirmation_secret.client_secret.partition("_secret_")[0]
        merchant.api.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})
        begun = merchant.api.subscriptions.retrieve(begun.id)
        assert begun.status == "active"
        method = merchant.api.payment_methods.retrieve(begun.default_payment_method)
        assert method.customer == customer.id

    def test_a_card_that_fails(self, merchant: Merchant) -> None:
        customer = merchant.customer("pm_card_chargeCustomerFail")
        with merchant.refused(stripe.CardError, "card_declined"):
            merchant.subscribe(customer.id, merchant.price(), payment_behavior="error_if_incomplete")
        assert merchant.api.invoices.list().data == []
        begun = merchant.subscribe(customer.id, merchant.price())
        assert begun.status == "incomplete"
        merchant.move_to(2026, 2, 1)
        assert merchant.api.subscriptions.retrieve(begun.id).status == "incomplete_expired"
        assert merchant.api.invoices.retrieve(begun.latest_invoice).status == "void"

    def test_a_trial(self, merchant: Merchant) -> None:
        begun = merchant.subscribe(merchant.customer().id, merchant.price(3000), trial_period_days=14)
        assert (begun.status, begun.trial_end) == ("trialing", at(2026, 2, 14))
        assert merchant.api.invoices.retrieve(begun.latest_invoice).amount_paid == 0
        merchant.move_to(2026, 2, 12)
        assert "customer.subscription.trial_will_end" in merchant.events()
        merchant.move_to(2026, 2, 14, 2)
        begun = merchant.api.subscriptions.retrieve(begun.id, {"expand": ["latest_invoice"]})
        assert (begun.status, begun.latest_invoice.amount_paid) == ("active", 3000)
        assert begun["items"].data[0].current_period_end == at(2026, 3, 14)

    def test_a_trial_without_a_card_pauses_and_is_resumed(self, merchant: Merchant) -> None:
        customer = merchant.customer("")
        end = {"end_behavior": {"missing_payment_method": "pause"}}
        begun = merchant.subscribe(customer.id, merchant.price(), trial_period_days=7, trial_settings=end)
        merchant.move_to(2026, 2, 10)
        assert merchant.api.subscriptions.retrieve(begun.id).status == "paused"
        merchant.use_card(customer.id, "pm_card_visa")
        assert merchant.api.subscriptions.resume(begun.id).status == "active"


class TestYear:
    def test_twelve_renewals_in_a_second(self, merchant: Merchant) -> None:
        begun = merchant.subscribe(merchant.customer().id, merchant.price(3000))
        started = time.monotonic()
        for month in range(2, 13):
            merchant.move_to(2026, month, 28 if month == 2 else 30, 2)
        merchant.move_to(2027, 1, 31, 2)
        took = time.monotonic() - started
        invoices = merchant.api.invoices.list({"subscription": begun.id, "limit": 100}).data
        assert [(invoice.status, invoice.amount_paid) for invoice in invoices] == [("paid", 3000)] * 13
        # The 31st, or the last day of a shorter month.
        days = [(invoice.created, invoice.billing_reason) for invoice in invoices[::-1]]
        assert days[:4] == [
            (at(2026, 1, 31), "subscription_create"),
            (at(2026, 2, 28), "subscription_cycle"),
            (at(2026, 3, 31), "subscription_cycle"),
            (at(2026, 4, 30), "subscription_cycle"),
        ]
        assert merchant.api.balance.retrieve().available[0].amount == 13 * (3000 - 117)
        assert took < 5  # 0.4 s on a machine that does nothing else

    def test_a_clock_goes_two_periods_at_most_and_never_back(self, merchant: Merchant) -> None:
        merchant.subscribe(merchant.customer().id, merchant.price())
        for moment in (at(2026, 6, 1), at(2026, 1, 1)):
            with merchant.refused(stripe.InvalidRequestError):
                merchant.api.test_helpers.test_clocks.advance(merchant.clock.id, {"frozen_time": moment})

    def test_a_draft_waits_an_hour(self, merchant: Merchant) -> None:
        customer = merchant.customer()
        begun = merchant.subscribe(customer.id, merchant.price(3000))
        merchant.move_to(2026, 2, 28)
        draft = merchant.api.invoices.list({"subscription": begun.id, "status": "draft"}).data[0]
        merchant.api.invoice_items.create(
            {"customer": customer.id, "invoice": draft.id, "amount": 250, "currency": "usd", "description": "Disk"}
        )
        merchant.move_to(2026, 2, 28, 1)
        assert merchant.api.invoices.retrieve(draft.id).amount_paid == 3250


class TestChange:
    """On the 14th of February 14 of the 28 days from 31 January to 28 February are left: a half."""

    def test_upgrade_as_its_preview_says(self, merchant: Merchant) -> None:
        begun = merchant.subscribe(merchant.customer().id, merchant.price(3000))
        merchant.move_to(2026, 2, 14)
        items = [{"id": begun["items"].data[0].id, "price": merchant.price(9000, "Max")}]
        change = {"items": items, "proration_behavior": "always_invoice", "proration_date": at(2026, 2, 14)}
        preview = merchant.api.invoices.create_preview({"subscription": begun.id, "subscription_details": change})
        assert [(line.amount, line.description) for line in preview.lines.data] == [
            (-1500, "Unused time on Pro after 14 Feb 2026"),
            (4500, "Remaining time on Max after 14 Feb 2026"),
        ]
        assert merchant.api.subscriptions.retrieve(begun.id)["items"].data[0].price.unit_amount == 3000
        after = merchant.api.subscriptions.update(begun.id, {**change, "expand": ["latest_invoice"]})
        assert after["items"].data[0].price.unit_amount == 9000
        assert (preview.amount_due, after.latest_invoice.amount_paid) == (3000, 3000)
        assert after.latest_invoice.billing_reason == "subscription_update"

    def test_by_the_second(self, merchant: Merchant) -> None:
        """28 days are 2,419,200 s; after a day and an hour 2,329,200 are left: 3000 × 0.962797… and 9000 × the same."""
        begun = merchant.subscribe(merchant.customer().id, merchant.price(3000))
        merchant.move_to(2026, 2, 1, 1)
        items = [{"id": begun["items"].data[0].id, "price": merchant.price(9000, "Max")}]
        preview = merchant.api.invoices.create_preview(
            {
                "subscription": begun.id,
                "subscription_details": {"items": items, "proration_behavior": "always_invoice"},
            }
        )
        assert [line.amount for line in preview.lines.data] == [-2888, 8665]

    def test_downgrade_is_credited_with_the_next_period(self, merchant: Merchant) -> None:
        customer = merchant.customer()
        begun = merchant.subscribe(customer.id, merchant.price(9000, "Max"))
        merchant.move_to(2026, 2, 14)
        change = {"items": [{"id": begun["items"].data[0].id, "price": merchant.price(3000)}]}
        preview = merchant.api.invoices.create_preview({"subscription": begun.id, "subscription_details": change})
        assert [line.amount for line in preview.lines.data] == [-4500, 1500, 3000]
        merchant.api.subscriptions.update(begun.id, change)
        merchant.move_to(2026, 2, 28, 2)
        merchant.move_to(2026, 3, 31, 2)
        paid = [each.amount_paid for each in merchant.api.invoices.list({"subscription": begun.id}).data]
        assert paid == [3000, 0, 9000]

    def test_what_a_downgrade_gives_back_at_once_stays_as_balance(self, merchant: Merchant) -> None:
        customer = merchant.customer()
        begun = merchant.subscribe(customer.id, merchant.price(9000, "Max"))
        merchant.move_to(2026, 2, 14)
        items = [{"id": begun["items"].data[0].id, "price": merchant.price(3000)}]
        merchant.api.subscriptions.update(begun.id, {"items": items, "proration_behavior": "always_invoice"})
        assert merchant.api.customers.retrieve(customer.id).balance == -3000
        merchant.move_to(2026, 2, 28, 2)
        invoice = merchant.api.invoices.list({"subscription": begun.id, "limit": 1}).data[0]
        assert (invoice.total, invoice.amount_due, invoice.status) == (3000, 0, "paid")
        assert merchant.api.customers.retrieve(customer.id).balance == 0

    def test_another_interval_starts_a_new_period(self, merchant: Merchant) -> None:
        begun = merchant.subscribe(merchant.customer().id, merchant.price(3000))
        merchant.move_to(2026, 2, 14)
        items = [{"id": begun["items"].data[0].id, "price": merchant.price(30000, interval="year")}]
        after = merchant.api.subscriptions.update(begun.id, {"items": items, "expand": ["latest_invoice"]})
        assert after.latest_invoice.amount_paid == 30000 - 1500
        assert after["items"].data[0].current_period_end == at(2027, 2, 14)

    def test_an_upgrade_that_is_not_paid_may_be_refused_whole(self, merchant: Merchant) -> None:
        customer = merchant.customer()
        begun = merchant.subscribe(customer.id, merchant.price(3000))
        merchant.use_card(customer.id, "pm_card_chargeCustomerFail")
        items = [{"id": begun["items"].data[0].id, "price": merchant.price(9000, "Max")}]
        change = {"items": items, "proration_behavior": "always_invoice"}
        with merchant.refused(stripe.CardError, "card_declined"):
            merchant.api.subscriptions.update(begun.id, {**change, "payment_behavior": "error_if_incomplete"})
        assert merchant.api.subscriptions.retrieve(begun.id)["items"].data[0].price.unit_amount == 3000
        assert merchant.api.subscriptions.update(begun.id, change).status == "past_due"

    def test_quantities_and_more_items(self, merchant: Merchant) -> None:
        begun = merchant.subscribe(merchant.customer().id, merchant.price(1000))
        merchant.move_to(2026, 2, 14)
        items = merchant.api.subscription_items
        items.update(begun["items"].data[0].id, {"quantity": 3, "proration_behavior": "none"})
        added = items.create({"subscription": begun.id, "price": merchant.price(500, "Disk")})
        preview = merchant.api.invoices.create_preview({"subscription": begun.id})
        assert [line.amount for line in preview.lines.data] == [250, 3000, 500]
        items.delete(added.id, {"proration_behavior": "none"})
        assert len(items.list({"subscription": begun.id}).data) == 1
        with merchant.refused(stripe.InvalidRequestError):
            items.delete(begun["items"].data[0].id)


class TestFailure:
    def test_past_due_until_somebody_pays(self, merchant: Merchant) -> None:
        customer = merchant.customer()
        begun = merchant.subscribe(customer.id, merchant.price(3000))
        merchant.use_card(customer.id, "pm_card_chargeCustomerFail")
        merchant.move_to(2026, 2, 28, 2)
        begun = merchant.api.subscriptions.retrieve(begun.id, {"expand": ["latest_invoice"]})
        invoice = begun.latest_invoice
        assert (begun.status, invoice.status, invoice.attempt_count) == ("past_due", "open", 1)
        assert merchant.api.customers.retrieve(customer.id).delinquent is True
        assert merchant.events("invoice.payment_failed") == ["invoice.payment_failed"]
        merchant.move_to(2026, 3, 20)  # no retries of its own
        assert merchant.events("invoice.payment_failed") == ["invoice.payment_failed"]
        with merchant.refused(stripe.CardError, "card_declined"):
            merchant.api.invoices.pay(invoice.id)
        merchant.use_card(customer.id, "pm_card_visa")
        assert merchant.api.invoices.pay(invoice.id).status == "paid"
        assert merchant.api.subscriptions.retrieve(begun.id).status == "active"
        with merchant.refused(stripe.InvalidRequestError, "invoice_already_paid"):
            merchant.api.invoices.pay(invoice.id)

    def test_the_bank_asks_at_a_renewal(self, merchant: Merchant) -> None:
        customer = merchant.customer()
        begun = merchant.subscribe(customer.id, merchant.price(3000))
        merchant.use_card(customer.id, "pm_card_authenticationRequired")
        merchant.move_to(2026, 2, 28, 2)
        assert merchant.events("invoice.payment_action_required") == ["invoice.payment_action_required"]
        latest = merchant.api.subscriptions.retrieve(begun.id).latest_invoice
        with merchant.refused(stripe.CardError, "invoice_payment_intent_requires_action"):
            merchant.api.invoices.pay(latest)

    def test_void_takes_the_debt_away(self, merchant: Merchant) -> None:
        customer = merchant.customer()
        begun = merchant.subscribe(customer.id, merchant.price(3000))
        merchant.use_card(customer.id, "pm_card_chargeCustomerFail")
        merchant.move_to(2026, 2, 28, 2)
        latest = merchant.api.subscriptions.retrieve(begun.id).latest_invoice
        assert merchant.api.invoices.void_invoice(latest).status == "void"
        assert merchant.api.subscriptions.retrieve(begun.id).status == "active"
        with merchant.refused(stripe.InvalidRequestError, "invoice_not_editable"):
            merchant.api.invoices.pay(latest)


class TestEnd:
    def test_at_the_end_of_the_period(self, merchant: Merchant) -> None:
        begun = merchant.subscribe(merchant.customer().id, merchant.price())
        update = merchant.api.subscriptions.update
        ending = update(begun.id, {"cancel_at_period_end": True, "cancellation_details": {"feedback": "too_expensive"}})
        assert (ending.status, ending.cancel_at) == ("active", at(2026, 2, 28))
        assert ending.cancellation_details.reason == "cancellation_requested"
        with merchant.refused(stripe.InvalidRequestError, "invoice_upcoming_none"):
            merchant.api.invoices.create_preview({"subscription": begun.id})
        assert update(begun.id, {"cancel_at_period_end": False}).cancel_at is None
        update(begun.id, {"cancel_at_period_end": True})
        merchant.move_to(2026, 3, 1)
        ended = merchant.api.subscriptions.retrieve(begun.id)
        assert (ended.status, ended.ended_at) == ("canceled", at(2026, 2, 28))
        assert merchant.events("customer.subscription.deleted") == ["customer.subscription.deleted"]
        with merchant.refused(stripe.InvalidRequestError, "resource_missing"):
            update(begun.id, {"cancel_at_period_end": False})

    def test_at_once_with_the_rest_given_back(self, merchant: Merchant) -> None:
        customer = merchant.customer()
        begun = merchant.subscribe(customer.id, merchant.price(3000))
        merchant.move_to(2026, 2, 14)
        ended = merchant.api.subscriptions.cancel(begun.id, {"prorate": True, "invoice_now": True})
        assert ended.status == "canceled"
        assert merchant.api.customers.retrieve(customer.id).balance == -1500
        assert merchant.api.subscriptions.list({"customer": customer.id}).data == []
        assert len(merchant.api.subscriptions.list({"customer": customer.id, "status": "all"}).data) == 1


class TestInvoice:
    def test_made_by_hand(self, merchant: Merchant) -> None:
        customer = merchant.customer()
        api = merchant.api
        api.invoice_items.create({"customer": customer.id, "amount": 1200, "currency": "usd", "description": "Help"})
        draft = api.invoices.create({"customer": customer.id, "pending_invoice_items_behavior": "include"})
        assert (draft.status, draft.total, draft.number) == ("draft", 1200, None)
        opened = api.invoices.finalize_invoice(draft.id)
        assert opened.number == f"{customer.invoice_prefix}-0001"
        assert api.invoices.pay(opened.id).amount_paid == 1200
        with merchant.refused(stripe.InvalidRequestError, "invoice_not_editable"):
            api.invoices.delete(opened.id)

    def test_events_of_a_renewal_in_their_order(self, merchant: Merchant) -> None:
        merchant.subscribe(merchant.customer().id, merchant.price())
        before = len(merchant.events())
        merchant.move_to(2026, 2, 28, 2)
        assert merchant.events()[before:] == [
            "test_helpers.test_clock.advancing",
            "invoice.created",
            "customer.subscription.updated",
            "invoice.finalized",
            "payment_intent.created",
            "charge.succeeded",
            "payment_intent.succeeded",
            "invoice_payment.paid",
            "invoice.paid",
            "invoice.payment_succeeded",
            "test_helpers.test_clock.ready",
        ]
