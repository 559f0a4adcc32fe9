"""Compute credits come in lots: those that expire first are spent first, and what expires goes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.db.models import F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import AuditEntry, Organisation
from billing import credits, ledger, lots, usage, wallet
from billing.accounts import wallet_of
from billing.models import CreditLot
from lib.clock import now
from lib.errors import Conflict
from notifications.models import Notification
from tests.people import Person
from tests.undone import undone

Source = lots.Source


def grant(organisation: Organisation, amount: str, days: int | None = None, source: str = Source.STAFF) -> CreditLot:
    expires_at = now() + timedelta(days=days) if days is not None else None
    return lots.grant(organisation, Decimal(amount), id=uuid4(), source=source, expires_at=expires_at)


def reserve(organisation: Organisation, amount: str) -> UUID:
    hold = uuid4()
    usage.reserve(
        organisation, payer="credits", currency="CREDIT", amount=Decimal(amount), source_id=uuid4(), hold_id=hold
    )
    return hold


def use(organisation: Organisation, amount: str, hold: UUID | None = None) -> Decimal:
    return usage.settle(
        hold,
        organisation=organisation,
        currency="CREDIT",
        usage_id=uuid4(),
        amount=Decimal(amount),
        operator=None,
        provider_slug="catalyst",
        keep_open=None,
    ).charged


def days_pass(days: int) -> None:
    CreditLot.objects.update(expires_at=F("expires_at") - timedelta(days=days))


def hand_on(person: Person, to: str, amount: str, key: str = "") -> Any:
    body = {"to": to, "amount": amount}
    return person.api("post", "credits/transfer", body, {"Idempotency-Key": key or uuid4().hex})


def left(*rows: CreditLot) -> list[Decimal]:
    return [CreditLot.objects.get(pk=row.pk).left for row in rows]


def test_what_expires_first_is_spent_first(organisation: Organisation) -> None:
    forever, late, soon = grant(organisation, "5"), grant(organisation, "5", 30), grant(organisation, "5", 3)
    use(organisation, "6")
    assert left(soon, late, forever) == [0, 4, 5]
    use(organisation, "6")
    assert left(soon, late, forever) == [0, 0, 3]
    assert use(organisation, "9") == 3


def test_the_same_usage_takes_from_the_lots_once(organisation: Organisation) -> None:
    lot, id = grant(organisation, "5"), uuid4()
    for _ in range(3):
        usage.settle(
            None,
            organisation=organisation,
            currency="CREDIT",
            usage_id=id,
            amount=Decimal(2),
            operator=None,
            provider_slug="catalyst",
            keep_open=None,
        )
    assert left(lot) == [3]


def test_expired_credits_go_but_not_under_a_running_pod(organisation: Organisation) -> None:
    gift, bought = grant(organisation, "10", 90), grant(organisation, "2")
    hold = reserve(organisation, "9")
    days_pass(91)
    assert lots.expire_due() == 1
    assert left(gift, bought) == [7, 2]
    use(organisation, "8.5", hold)
    assert left(gift, bought) == [0, Decimal("0.5")]
    assert lots.expire_due() == 0
    assert wallet.balances(organisation)["CREDIT"] == Decimal("0.5")


def test_people_are_told_once_before(organisation: Organisation, owner: Person) -> None:
    grant(organisation, "10", 90)
    assert lots.warn_of_expiry() == 0
    days_pass(84)
    assert [lots.warn_of_expiry(), lots.warn_of_expiry()] == [1, 0]
    assert Notification.objects.get(user=owner.user).kind == "credits.expire"


def test_credits_handed_on_keep_their_expiry(owner: Person, organisation: Organisation, operator: Organisation) -> None:
    grant(organisation, "3", 3)
    grant(organisation, "5")
    answers = [hand_on(owner, operator.public_id, "4", key="once") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].json()
    assert answers[0].json()["available"]["amount"] == "4.000000"
    received = list(lots.open_lots(operator))
    assert [lot.left for lot in received] == [3, 1]
    assert received[0].expires_at
    assert received[1].expires_at is None


def test_the_welcome_gift_stays(owner: Person, organisation: Organisation, operator: Organisation) -> None:
    credits.grant_signup_credits(organisation)
    credits.grant_signup_credits(organisation)
    answer = hand_on(owner, operator.public_id, "1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_movable")
    assert wallet.balances(organisation)["CREDIT"] == 10


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "nan", "1e400", "x"])
def test_bad_amounts(owner: Person, organisation: Organisation, operator: Organisation, amount: str) -> None:
    grant(organisation, "5")
    answer = hand_on(owner, operator.public_id, amount)
    assert (answer.status_code, set(answer.json()["error"]["fields"])) == (422, {"amount"})
    assert wallet.balances(organisation)["CREDIT"] == 5


@pytest.mark.parametrize("to", ["", "org_", "org_" + "0" * 26, "pod_" + "0" * 26, "me"])
def test_nobody_of_that_name(owner: Person, organisation: Organisation, to: str) -> None:
    grant(organisation, "5")
    answer = hand_on(owner, to, "1")
    assert (answer.status_code, set(answer.json()["error"]["fields"])) == (422, {"to"})


def test_the_page_hands_on_and_says_what_is_wrong(
    owner: Person, organisation: Organisation, operator: Organisation
) -> None:
    grant(organisation, "5", 30)
    form = {"to": operator.public_id, "amount": "9", "token": uuid4().hex}
    refused = owner.client.post("/billing/credits/", form)
    assert refused.status_code == 422
    assert "cannot transfer that many" in refused.content.decode()
    assert owner.client.post("/billing/credits/", {**form, "amount": "2"}).status_code == 302
    assert "3.00 credits" in owner.client.get("/billing/credits/").content.decode()


def test_the_same_form_sent_again_with_other_words(
    owner: Person, organisation: Organisation, operator: Organisation
) -> None:
    grant(organisation, "9")
    form = {"to": operator.public_id, "amount": "2", "token": uuid4().hex}
    assert [owner.client.post("/billing/credits/", form).status_code for _ in range(2)] == [302, 302]
    assert AuditEntry.objects.filter(action="credits.transfer").count() == 1
    assert owner.client.post("/billing/credits/", {**form, "amount": "3"}).status_code == 422
    assert wallet.balances(operator)["CREDIT"] == 2


def test_who_may_only_look_cannot_hand_on(viewer: Person, organisation: Organisation, operator: Organisation) -> None:
    grant(organisation, "5")
    assert hand_on(viewer, operator.public_id, "1").status_code == 403
    assert wallet.balances(organisation)["CREDIT"] == 5


def test_staff_grant_credits(staff: Person, organisation: Organisation) -> None:
    form = {"organisation": str(organisation.pk), "amount": "7", "expires_at_0": "", "expires_at_1": ""}
    assert staff.client.post("/admin/billing/creditlot/add/", form).status_code == 302
    assert wallet.balances(organisation)["CREDIT"] == 7


@pytest.mark.django_db(transaction=True)
def test_two_spend_and_one_hands_on_at_once(organisation: Organisation, operator: Organisation) -> None:
    for days in (1, 2, 3, None):
        grant(organisation, "5", days)
    gate = threading.Barrier(4)

    def together(act: Callable[[], Any]) -> None:
        gate.wait(10)
        try:
            act()
        finally:
            connection.close()

    acts = [lambda: use(organisation, "4")] * 3 + [
        lambda: lots.transfer(organisation, operator, Decimal(6), id=uuid4())
    ]
    threads = [threading.Thread(target=together, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wallet.balances(organisation)["CREDIT"] == 2
    assert wallet.balances(operator)["CREDIT"] == 6


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["grant", "gift", "use", "hold", "settle", "release", "transfer", "expire", "day"]),
        st.integers(1, 12),
    ),
    max_size=25,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_lots_and_ledger_agree_whatever_happens(
    organisation: Organisation, operator: Organisation, steps: list[tuple[str, int]]
) -> None:
    with undone():
        holds: list[UUID] = []
        for what, size in steps:
            amount = str(size)
            if what == "grant":
                grant(organisation, amount, size if size % 3 else None)
            elif what == "gift":
                grant(organisation, amount, size, Source.SIGN_UP)
            elif what == "use":
                use(organisation, amount)
            elif what == "hold" and wallet.balances(organisation)["CREDIT"] >= size:
                holds.append(reserve(organisation, amount))
            elif what == "settle" and holds:
                use(organisation, amount, holds.pop())
            elif what == "release" and holds:
                usage.release(holds.pop())
            elif what == "transfer":
                with suppress(Conflict, ledger.Overdraft):
                    lots.transfer(organisation, operator, Decimal(size), id=uuid4())
            elif what == "expire":
                lots.expire_due()
            elif what == "day":
                days_pass(1)
            assert lots.check() == []
            assert ledger.available(wallet_of(organisation, "CREDIT")) >= 0
