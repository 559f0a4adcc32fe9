"""What a payer's bank takes back: booked once and as Stripe says, out of the right account, and home again when won."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction

from accounts.models import Organisation
from billing import auto_top_up, chargebacks, ledger, plans, reconcile, reconciliation, wallet
from billing.accounts import Kind, account_of, wallet_of
from billing.lifecycle import ChargebackStatus, PaymentStatus, RefundStatus, WrongTransition, switch_chargeback
from billing.models import Account, Chargeback, Invoice, Payment, WebhookEvent
from billing.payments.services import STRIPE, service
from billing.payments.services import chargebacks as remote
from billing.payments.services import stripe as adapter
from billing.refunds import NotYet
from billing.states import CHARGEBACK_TRANSITIONS
from lib.clock import now
from lib.errors import Conflict
from notifications.models import Notification
from tests.billing.invoicing import refund
from tests.billing.money import faulty, fund, leg
from tests.billing.stripe import answer_bank
from tests.billing.taken_back import decide, dispute, disputed, hear, pay_by_card, pay_plan_by_card
from tests.billing.test_stripe_webhook import begun
from tests.people import Person

S = ChargebackStatus


@pytest.fixture(autouse=True)
def _outbox(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


@pytest.fixture(autouse=True)
def _clearing_balances(request: pytest.FixtureRequest) -> Any:
    yield
    assert reconcile.check_clearing() == []


def usd(person: Person) -> Decimal:
    assert person.organisation is not None
    return wallet.balance(person.organisation, "USD").available


def owed(organisation: Organisation) -> Decimal:
    account = account_of(organisation, Kind.OWED_TO_US, "USD")
    return account.debits_posted - account.credits_posted


def spend(person: Person, amount: str) -> None:
    assert person.organisation is not None
    ledger.post([leg(wallet_of(person.organisation, "USD"), account_of(None, Kind.REVENUE, "USD"), amount)])


def clearing() -> Decimal:
    account = account_of(None, Kind.CLEARING, "USD", label=STRIPE)
    return account.debits_posted - account.credits_posted


def fees() -> Decimal:
    rows = Account.objects.filter(kind=Kind.FEES, label=STRIPE)
    return sum((row.debits_posted - row.credits_posted for row in rows), Decimal(0))


def again(row: Chargeback) -> Chargeback:
    return Chargeback.objects.select_related("payment").get(pk=row.pk)


def test_taken_out_of_the_wallet_and_won_back(owner: Person, organisation: Organisation, stripe: str) -> None:
    """25 came in; the bank takes 25 and Stripe a fee of 15, which it keeps when the 25 come back."""
    payment = pay_by_card(owner)
    assert (usd(owner), clearing()) == (Decimal(25), Decimal(25))
    row = disputed(stripe, payment)
    assert (row.status, row.amount, row.withdrawn, row.fee) == (
        S.NEEDS_RESPONSE.value,
        Decimal(25),
        Decimal(25),
        Decimal(15),
    )
    assert (usd(owner), clearing(), fees()) == (Decimal(0), Decimal(-15), Decimal(15))
    payment.refresh_from_db()
    assert (payment.charged_back, payment.left) == (Decimal(25), Decimal(0))
    decide(stripe, row.service_ref, "won")
    for _ in range(3):
        assert hear(row.service_ref, "charge.dispute.funds_reinstated").error == ""
    row, payment = again(row), Payment.objects.get(pk=payment.pk)
    assert (row.status, row.returned, payment.charged_back) == (S.WON.value, Decimal(25), Decimal(0))
    assert (usd(owner), clearing(), fees(), owed(organisation)) == (Decimal(25), Decimal(10), Decimal(15), Decimal(0))
    assert not Invoice.objects.filter(kind="credit_note").exists()
    moved = {each["source_type"] for each in wallet.statement(organisation, now())}
    assert moved == {"payment", "chargeback"}


def test_what_is_spent_the_customer_owes(owner: Person, organisation: Organisation, stripe: str) -> None:
    payment = pay_by_card(owner)
    spend(owner, "20")
    row = disputed(stripe, payment)
    assert (usd(owner), owed(organisation)) == (Decimal(0), Decimal(20))
    decide(stripe, row.service_ref, "won")
    hear(row.service_ref)
    assert (usd(owner), owed(organisation)) == (Decimal(5), Decimal(0))


def test_the_card_is_not_charged_again_for_it(owner: Person, organisation: Organisation, stripe: str) -> None:
    """An empty wallet would be filled at once, from the very card that is disputed."""
    payment = pay_by_card(owner)
    auto_top_up.change(organisation, is_on=True, threshold="10", amount="25", actor=owner.actor)
    row = disputed(stripe, payment)
    assert auto_top_up.keep_wallets_filled() == 0
    assert Payment.objects.count() == 1
    assert not auto_top_up.settings_of(organisation).is_on
    auto_top_up.change(organisation, is_on=True, threshold="10", amount="25", actor=owner.actor)
    hear(row.service_ref)
    assert auto_top_up.settings_of(organisation).is_on  # as somebody wishes


def test_lost_it_has_a_credit_note(owner: Person, organisation: Organisation, stripe: str) -> None:
    payment = pay_by_card(owner)
    row = disputed(stripe, payment, 1000)
    assert usd(owner) == 15
    decide(stripe, row.service_ref, "lost")
    for _ in range(2):
        hear(row.service_ref, "charge.dispute.closed")
    assert again(row).status == S.LOST
    note = Invoice.objects.get(kind="credit_note")
    assert (note.gross, note.chargeback_id, note.refund_id) == (Decimal(10), row.pk, None)
    assert (usd(owner), owed(organisation), clearing()) == (Decimal(15), Decimal(0), Decimal(0))
    titles = list(Notification.objects.filter(user=owner.user).order_by("pk").values_list("kind", flat=True))
    assert titles == ["chargeback.opened", "chargeback.decided"]


def test_never_more_than_was_paid(owner: Person, staff: Person, organisation: Organisation, stripe: str) -> None:
    """10 of 25 were refunded, then the bank takes all 25: what it takes beyond 15 the customer owes."""
    payment = pay_by_card(owner)
    fund(organisation, "3")
    assert refund(payment, "10", staff).status == RefundStatus.COMPLETED
    row = disputed(stripe, payment, 2500)
    payment.refresh_from_db()
    assert (payment.refunded, payment.charged_back, payment.left) == (Decimal(10), Decimal(15), Decimal(0))
    assert (row.counted, usd(owner), owed(organisation)) == (
        Decimal(15),
        Decimal(0),
        Decimal(7),
    )  # 18 were in the wallet
    decide(stripe, row.service_ref, "lost")
    hear(row.service_ref)
    notes = Invoice.objects.filter(kind="credit_note").order_by("pk").values_list("gross", flat=True)
    assert list(notes) == [10, 15]


def test_the_row_itself_refuses_more_than_was_paid(owner: Person, stripe: str) -> None:
    payment = pay_by_card(owner)
    Payment.objects.filter(pk=payment.pk).update(refunded=10)
    for deed in ({"charged_back": Decimal("15.01")}, {"charged_back": Decimal("-0.01")}):
        with pytest.raises(IntegrityError, match="payment_refunded_within"), transaction.atomic():
            Payment.objects.filter(pk=payment.pk).update(**deed)


def test_no_refund_of_what_is_disputed(owner: Person, staff: Person, stripe: str) -> None:
    payment = pay_by_card(owner)
    row = disputed(stripe, payment, 1000)
    for _ in range(2):
        with pytest.raises(Conflict) as refusal:
            refund(payment, "5", staff)
        assert (refusal.value.code, refusal.value.status) == ("disputed", 409)
        if again(row).status == S.NEEDS_RESPONSE:
            decide(stripe, row.service_ref, "lost")
            hear(row.service_ref)
    won = disputed(stripe, pay_by_card(owner))
    decide(stripe, won.service_ref, "won")
    hear(won.service_ref)
    assert refund(won.payment, "25", staff).status == RefundStatus.COMPLETED


def test_a_plan_goes_on_until_it_is_lost(owner: Person, organisation: Organisation, stripe: str) -> None:
    row = disputed(stripe, pay_plan_by_card(owner))
    assert plans.current_plan(organisation).slug == "pro"
    assert (usd(owner), owed(organisation)) == (Decimal(0), Decimal(0))
    decide(stripe, row.service_ref, "lost")
    hear(row.service_ref)
    assert plans.current_plan(organisation).slug == "free"
    assert Invoice.objects.get(kind="credit_note").gross == 49


def test_a_plan_that_is_won_was_never_taken(owner: Person, organisation: Organisation, stripe: str) -> None:
    row = disputed(stripe, pay_plan_by_card(owner))
    decide(stripe, row.service_ref, "won")
    hear(row.service_ref)
    assert plans.current_plan(organisation).slug == "pro"
    revenue = Account.objects.filter(kind=Kind.REVENUE, label="plans")
    assert sum(each.credits_posted - each.debits_posted for each in revenue) == 49


def test_a_refund_and_the_rest_end_a_plan(
    owner: Person, staff: Person, organisation: Organisation, stripe: str
) -> None:
    payment = pay_plan_by_card(owner)
    refund(payment, "9", staff)
    row = disputed(stripe, payment)
    assert (row.amount, plans.current_plan(organisation).slug) == (Decimal(40), "pro")
    decide(stripe, row.service_ref, "lost")
    hear(row.service_ref)
    assert plans.current_plan(organisation).slug == "free"


def test_a_question_takes_nothing(owner: Person, staff: Person, stripe: str) -> None:
    """A bank that only asks; a refund is the right answer to it. Another becomes a dispute."""
    payment = pay_by_card(owner)
    row = disputed(stripe, payment, inquiry=True)
    assert (row.status, row.withdrawn, usd(owner)) == (S.WARNING_NEEDS_RESPONSE.value, Decimal(0), Decimal(25))
    assert not Notification.objects.filter(user=owner.user, kind__startswith="chargeback").exists()
    assert refund(payment, "5", staff).status == RefundStatus.COMPLETED
    decide(stripe, row.service_ref, "close")
    hear(row.service_ref)
    assert again(row).status == S.WARNING_CLOSED
    another = disputed(stripe, pay_by_card(owner), inquiry=True)
    decide(stripe, another.service_ref, "escalate")
    hear(another.service_ref)
    assert Notification.objects.filter(user=owner.user, kind="chargeback.opened").count() == 1
    assert (again(another).status, again(another).withdrawn, usd(owner)) == (
        S.NEEDS_RESPONSE.value,
        Decimal(25),
        Decimal(20),
    )


def test_heard_of_before_the_payment_is_booked(owner: Person, stripe: str) -> None:
    """The bank has asked, nobody came back, and we have not looked: first what came in, then what is taken."""
    payment = begun(owner)
    answer_bank(payment.approve_url)
    [capture] = service(STRIPE).fetch(payment.order_ref).captures
    disputed(stripe, Payment(capture_ref=capture.ref), 1000)
    payment.refresh_from_db()
    assert (payment.status, payment.charged_back, usd(owner)) == (
        PaymentStatus.CAPTURED.value,
        Decimal(10),
        Decimal(15),
    )


def test_of_a_payment_that_is_not_ours(owner: Person, stripe: str) -> None:
    payment = pay_by_card(owner)
    ref = dispute(stripe, payment)
    Payment.objects.filter(pk=payment.pk).update(capture_ref="ch_other", order_ref="pi_other")
    hear(ref)
    assert WebhookEvent.objects.get().processed_at is None  # of a renewal that we have not looked at yet, perhaps
    with pytest.raises(NotYet):
        chargebacks.hear(STRIPE, ref)
    WebhookEvent.objects.update(received_at=now() - timedelta(days=2))
    reconcile.process_event(WebhookEvent.objects.get().pk)
    assert WebhookEvent.objects.get().error == "no payment with this capture"
    assert hear("dp_unknown").error == "the service does not know this dispute"
    assert not Chargeback.objects.exists()
    assert usd(owner) == 25


def test_old_answers_change_nothing(owner: Person, stripe: str) -> None:
    """Two workers have asked; the one with the older answer is the slower one."""
    payment = pay_by_card(owner)
    row = disputed(stripe, payment)
    old = remote(STRIPE).fetch_chargeback(row.service_ref)
    decide(stripe, row.service_ref, "won")
    hear(row.service_ref)
    chargebacks.learn(STRIPE, old)
    assert (again(row).status, usd(owner)) == (S.WON.value, Decimal(25))


@pytest.mark.django_db(transaction=True)
def test_many_notifications_at_once(owner: Person, organisation: Organisation, stripe: str) -> None:
    ref = dispute(stripe, pay_by_card(owner))

    def learn(_number: int) -> None:
        try:
            chargebacks.hear(STRIPE, ref)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(learn, range(8)))
    assert Chargeback.objects.count() == 1
    assert (usd(owner), fees()) == (Decimal(0), Decimal(15))
    assert Notification.objects.filter(user=owner.user, kind="chargeback.opened").count() == 1


def test_no_notification_came(owner: Person, staff: Person, stripe: str) -> None:
    row_ref = dispute(stripe, pay_by_card(owner))
    assert chargebacks.reconcile_chargebacks() >= 1
    row = Chargeback.objects.get(service_ref=row_ref)
    assert usd(owner) == 0
    decide(stripe, row.service_ref, "won")
    with faulty(stripe, "http_500", "/v1/disputes/"):
        chargebacks.reconcile_chargebacks()
    chargebacks.reconcile_chargebacks()
    assert (again(row).status, usd(owner)) == (S.WON.value, Decimal(25))
    assert Notification.objects.filter(user=staff.user, kind="chargeback.staff_opened").count() == 1


def test_staff_are_warned_once(owner: Person, staff: Person, stripe: str) -> None:
    row = disputed(stripe, pay_by_card(owner))
    chargebacks.reconcile_chargebacks()
    warnings = Notification.objects.filter(user=staff.user, kind="chargeback.staff_due")
    assert not warnings.exists()
    Chargeback.objects.filter(pk=row.pk).update(due_at=now() + timedelta(days=2), checked_at=now())
    for _ in range(2):
        chargebacks._warn_of_due()
    assert warnings.count() == 1
    assert row.public_id in warnings.get().url


def test_a_refund_under_way_is_refused_by_stripe(owner: Person, staff: Person, stripe: str) -> None:
    """The bank was faster than our refund: what was set aside is the customer's again, and pays what they owe nothing of."""
    payment = pay_by_card(owner)
    ref = dispute(stripe, payment)
    failed = refund(payment, "25", staff)
    assert failed.status == RefundStatus.FAILED
    hear(ref)
    payment.refresh_from_db()
    assert (usd(owner), payment.refunded, payment.charged_back) == (Decimal(0), Decimal(0), Decimal(25))


def test_each_pair_of_states(organisation: Organisation) -> None:
    payment = Payment.objects.create(organisation=organisation, purpose="top_up", amount=25, service=STRIPE)
    row = Chargeback.objects.create(
        payment=payment, service=STRIPE, service_ref="dp_1", amount=25, reason="x", opened_at=now()
    )
    for old, new in product(S.values, S.values):
        Chargeback.objects.update(status=old)
        row.refresh_from_db()
        if new in CHARGEBACK_TRANSITIONS[old]:
            assert switch_chargeback(row, new)
        else:
            with pytest.raises(WrongTransition):
                switch_chargeback(row, new)


def test_the_account_of_the_service_agrees(owner: Person, stripe: str) -> None:
    """What Stripe's own balance lost for each dispute is what our clearing lost: 25 + 15, then 25 back."""
    since = now() - timedelta(seconds=2)
    before = _balance()
    row = disputed(stripe, pay_by_card(owner))
    fee_of_card = Decimal("1.03")  # 2.9 % of 25 and 30 cents, which Stripe keeps of each payment and we book nowhere
    assert _balance() - before == clearing() - fee_of_card
    decide(stripe, row.service_ref, "won")
    hear(row.service_ref)
    assert _balance() - before == clearing() - fee_of_card
    assert row.service_ref in {each.ref for each in remote(STRIPE).chargebacks_since(since)}
    assert service(STRIPE).fetch(row.payment.order_ref).captures[0].amount == 25


def test_the_nightly_comparison(owner: Person, stripe: str) -> None:
    """What we have not heard of, and what we have not heard of the end of, are differences until we have."""
    since, until = now() - timedelta(minutes=1), now() + timedelta(minutes=1)
    ref = dispute(stripe, pay_by_card(owner))

    def ours() -> Decimal | None:
        return {name: ours for name, ours, theirs in chargebacks.compare(STRIPE, since, until) if ours != theirs}[ref]

    assert ours() is None
    hear(ref)
    with pytest.raises(KeyError):
        ours()
    decide(stripe, ref, "won")
    assert ours() == 40
    hear(ref)
    with pytest.raises(KeyError):
        ours()
    assert not list(chargebacks.compare("paypal", since, until))
    differences = reconciliation._compare_chargeback("dp_1", Decimal(40), Decimal(15))
    assert differences == reconciliation.Difference("chargeback", "dp_1", "40", "15")


def _balance() -> Decimal:
    return Decimal(adapter()._api.balance.retrieve().available[0].amount) / 100
