"""Any interleaving of top-ups, spending, refunds here and at the service, notifications and crashes keeps the books."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import uuid4

import requests
from django.db.models import Q, Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import ledger, reconcile, refunds
from billing.accounts import Kind, account_of, wallet_of
from billing.models import Invoice, Payment, Refund, WebhookEvent
from billing.payments import checkout
from billing.payments.base import Capture, Refused
from billing.payments.services import service
from lib.errors import AppError
from tests.billing.invoicing import start
from tests.billing.money import leg
from tests.people import Person
from tests.undone import undone

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["top_up", "crash_after_capture", "spend", "refund", "crash_after_refund", "return", "hear", "recover"]
        ),
        st.integers(0, 30),
    ),
    min_size=3,
    max_size=14,
)


@dataclass
class World:
    owner: Person
    staff: Person
    paypal: str
    refs: list[str] = field(default_factory=list)  # refunds that PayPal has made

    def top_up(self, size: int) -> None:
        checkout.complete(start(self.owner, f"{size + 1}.00").pk)

    def crash_after_capture(self, size: int) -> None:
        payment = start(self.owner, f"{size + 1}.00")
        service("paypal").capture(payment.order_ref, request_id=f"capture-{payment.pk.hex}")

    def spend(self, size: int) -> None:
        assert self.owner.organisation is not None
        wallet = wallet_of(self.owner.organisation, "USD")
        with suppress(ledger.Overdraft):
            ledger.post([leg(wallet, account_of(None, Kind.REVENUE, "USD"), f"{size + 1}.25")])

    def refund(self, size: int) -> None:
        if payment := self.pick(size):
            with suppress(AppError):
                made = refunds.give_back(payment=payment, **self.wanted(size))
                self.refs += [made.service_ref] if made.service_ref else []

    def crash_after_refund(self, size: int) -> None:
        """PayPal has done it, and we died before we could book it."""
        if not (payment := self.pick(size)):
            return
        with suppress(AppError):
            row = refunds.request(payment=payment, **self.wanted(size))
            with suppress(Refused):
                made = service("paypal").refund(
                    payment.capture_ref,
                    row.amount,
                    "USD",
                    reference=row.public_id,
                    request_id=f"refund-{row.pk.hex}",
                )
                self.refs.append(made.ref)

    def return_(self, size: int) -> None:
        """Money goes back at PayPal without our asking, unless it is more than is left there."""
        captures = [capture.ref for payment in Payment.objects.order_by("pk") for capture in self.captures(payment)]
        if captures:
            body = {"amount": {"currency_code": "USD", "value": f"{size % 9 + 1}.00"}, "reversed": size % 2 == 0}
            url = f"{self.paypal}/sandbox/captures/{captures[size % len(captures)]}/return"
            answer = requests.post(url, json=body, timeout=5)
            self.refs += [answer.json()["id"]] if answer.status_code == 201 else []

    def hear(self, size: int) -> None:
        """A notification, perhaps again."""
        if self.refs:
            self.hear_of(self.refs[size % len(self.refs)])

    def hear_of(self, ref: str) -> None:
        id, kind = f"WH-{uuid4()}", "PAYMENT.CAPTURE.REFUNDED"
        body = {"id": id, "event_type": kind, "resource": {"id": ref}}
        reconcile.process_event(WebhookEvent.objects.create(service="paypal", event_ref=id, kind=kind, body=body).pk)

    def recover(self, _size: int = 0) -> None:
        for payment in Payment.objects.exclude(status="captured"):
            checkout.complete(payment.pk)
        for row in Refund.objects.filter(status__in=refunds.OPEN):
            refunds.bring_up(row.pk)
        for event in WebhookEvent.objects.filter(processed_at=None):
            reconcile.process_event(event.pk)

    def pick(self, size: int) -> Payment | None:
        paid = list(Payment.objects.filter(status="captured").order_by("pk"))
        return paid[size % len(paid)] if paid else None

    def wanted(self, size: int) -> dict[str, Any]:
        key = {"reason": "asked for", "actor": self.staff.actor, "idempotency_key": uuid4().hex}
        return {"amount": Decimal(size) / 2 + Decimal("0.5"), **key}

    def captures(self, payment: Payment) -> tuple[Capture, ...]:
        return service("paypal").fetch(payment.order_ref).captures

    def check(self) -> None:
        assert ledger.check() == []
        assert reconcile.check_clearing() == []
        living = ~Q(refunds__status="failed")
        for payment in Payment.objects.annotate(back=Sum("refunds__amount", filter=living)):
            assert (payment.back or 0) == payment.refunded <= payment.amount
        done = Refund.objects.filter(status="completed")
        assert Invoice.objects.filter(kind="credit_note").count() == done.count()
        assert Invoice.objects.filter(kind="invoice").count() == Payment.objects.filter(status="captured").count()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_happens(owner: Person, staff: Person, paypal: str, steps: list[tuple[str, int]]) -> None:
    with undone():
        world = World(owner, staff, paypal)
        for name, size in steps:
            getattr(world, "return_" if name == "return" else name)(size)
            world.check()
        world.recover()
        for ref in dict.fromkeys(world.refs):
            world.hear_of(ref)
        world.recover()
        world.check()
        booked = list(Refund.objects.filter(status="completed").values_list("service_ref", flat=True))
        assert sorted(booked) == sorted(set(world.refs)), "each refund at PayPal is booked once, and no other"
        assert not WebhookEvent.objects.filter(processed_at=None).exists()
