"""What staff see of money: customers, transactions with their legs, refunds, costs; each group no more than it may."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group

from accounts.models import Organisation
from billing import usage
from billing.models import Chargeback, Payment, ReconciliationCase, Refund, Withdrawal
from billing.payments import checkout
from lib.clock import now
from pods.models import Payer, Placement, Pod, Usage
from tests.billing.aws import CostExplorer, cost_explorer, month
from tests.billing.money import approve, fund
from tests.people import Person, give_team_plan, make_user

PAGES = ("customers", "transactions", "refunds", "costs")


def member_of(group: str) -> Person:
    user = make_user(f"{group}@gpubroker.example", is_staff=True)
    user.groups.add(Group.objects.get_or_create(name=group)[0])
    return Person(user=user)


@pytest.fixture
def finance(db: None) -> Person:
    return member_of("finance")


@pytest.fixture
def payment(organisation: Organisation, owner: Person, paypal: str) -> Payment:
    """25 USD that were paid in."""
    begun = checkout.start(
        organisation=organisation,
        purpose=Payment.Purpose.TOP_UP,
        amount="25",
        actor=owner.actor,
        idempotency_key=uuid4().hex,
        **checkout.own_pages(),
    )
    approve(begun.approve_url)
    return checkout.complete(begun.pk)


@pytest.fixture
def provider(db: None) -> str:
    from marketplace.models import Provider

    return str(Provider.objects.get_or_create(slug="runpod", defaults={"name": "RunPod"})[0].pk)


def use(organisation: Organisation, provider: str, amount: str, operator: Organisation | None = None) -> None:
    """A pod that has cost this much, an hour ago."""
    pod = Pod.objects.create(organisation=organisation, name="train", mode="SANDBOX", payer=Payer.WALLET)
    place = Placement.objects.create(
        pod=pod, epoch=1, provider_id=provider, payer=Payer.WALLET, price_per_hour=1, provider_price_per_hour=1
    )
    row = Usage.objects.create(
        placement=place,
        epoch=1,
        started_at=now() - timedelta(hours=1),
        ended_at=now(),
        seconds=3600,
        amount=Decimal(amount),
        currency="USD",
        payer=Payer.WALLET,
    )
    usage.settle(
        None,
        organisation=organisation,
        currency="USD",
        usage_id=row.pk,
        amount=row.amount,
        operator=operator,
        provider_slug="catalyst" if operator else provider,
        keep_open=None,
    )


def read(person: Person, address: str, status: int = 200) -> str:
    answer = person.client.get(f"/staff/{address}")
    assert answer.status_code == status, answer.content
    return str(answer.content.decode())


def test_who_sees_which_page(owner: Person, finance: Person) -> None:
    support, operations = member_of("support"), member_of("operations")
    for page in PAGES:
        read(finance, f"{page}/")
        read(owner, f"{page}/", 404)
        read(operations, f"{page}/", 403)
        read(support, f"{page}/", 200 if page == "customers" else 403)


def test_the_navigation_shows_what_may_be_seen(finance: Person) -> None:
    page = read(finance, "costs/")
    for name in ("", "customers/", "transactions/", "refunds/", "chargebacks/", "payouts/", "reconciliation/"):
        assert f'href="/staff/{name}"' in page
    assert 'href="/staff/costs/" aria-current="page"' in page
    assert 'href="/staff/costs/"' not in read(member_of("support"), "customers/")


def test_a_customer_is_found_by_name_mail_and_tax_id(
    finance: Person, owner: Person, organisation: Organisation, outsider: Person, provider: str
) -> None:
    Organisation.objects.filter(pk=organisation.pk).update(tax_id="1790012345001")
    give_team_plan(organisation)
    fund(organisation, "80")
    use(organisation, provider, "12.50")
    for words in ("andes", "owner@andes", "1790012345001"):
        page = read(finance, f"customers/?q={words}")
        assert "Andes Vision" in page
        assert "Elsewhere" not in page
    for fact in ("Team", "$67.50", "$12.50", "owner@andes.example"):
        assert fact in page
    assert "Nobody matches" in read(finance, "customers/?q=nobody-of-this-name")


def test_the_page_of_a_customer(
    finance: Person, owner: Person, organisation: Organisation, payment: Payment, provider: str
) -> None:
    use(organisation, provider, "5")
    page = read(finance, f"customers/{organisation.public_id}/")
    for fact in ("$20.00", "$5.00", payment.public_id, "owner@andes.example", "train"):
        assert fact in page
    assert "$5.00" in read(finance, "customers/")
    support = member_of("support")
    for secret in ("$20.00", "$5.00", payment.public_id):
        assert secret not in read(support, f"customers/{organisation.public_id}/")
        assert secret not in read(support, "customers/")
    read(finance, "customers/org_unknown/", 404)


def test_all_transactions_in_one_list(
    finance: Person, staff: Person, organisation: Organisation, payment: Payment
) -> None:
    withdrawal = Withdrawal.objects.create(
        organisation=organisation,
        chain="sandbox",
        address="0x" + "b" * 40,
        amount=Decimal(3),
        status="waiting",
        not_before=now(),
        idempotency_key="one",
    )
    page = read(finance, "transactions/")
    assert page.index(withdrawal.public_id) < page.index(payment.public_id)
    assert "+$25.00" in page
    assert "−3.00 USDC" in page
    for query, shown in {
        "kind=payment": {payment.public_id},
        "service=usdc": {withdrawal.public_id},
        "service=paypal": {payment.public_id},
        "status=waiting": {withdrawal.public_id},
        f"since={now():%Y-%m-%d}": {payment.public_id, withdrawal.public_id},
        "until=2020-01-01": set(),
    }.items():
        page = read(finance, f"transactions/?{query}")
        assert {row for row in (payment.public_id, withdrawal.public_id) if row in page} == shown, query
    for wrong in ("kind=cash", "since=soon", "before=x"):
        read(finance, f"transactions/?{wrong}", 422)


def test_pages_of_transactions_hold_each_once(finance: Person, organisation: Organisation) -> None:
    rows = [Payment(organisation=organisation, purpose="top_up", amount=1) for _number in range(7)]
    Payment.objects.bulk_create(rows)
    seen: list[str] = []
    more = ""
    for _page in range(3):
        answer = finance.api("get", f"admin/billing?limit=3{more}").json()
        seen += [row["id"] for row in answer["items"]]
        more = f"&cursor={answer['next']}"
    assert answer["next"] is None
    assert seen == [row.public_id for row in sorted(rows, key=lambda row: row.pk, reverse=True)]


def test_a_transaction_with_its_legs(finance: Person, payment: Payment) -> None:
    page = read(finance, f"transactions/{payment.public_id}/")
    assert "clearing of a payment service paypal" in page
    assert "$25.000000" in page
    assert payment.order_ref in page
    body = finance.api("get", f"admin/transaction/{payment.public_id}").json()
    (leg,) = body["legs"]
    assert (body["amount"]["amount"], leg["amount"]["amount"]) == ("25.000000", "25.000000")
    assert finance.api("get", f"admin/transaction/{leg['id']}").json() == leg
    for unknown in ("pay_unknown", "xyz", str(uuid4())):
        assert finance.api("get", f"admin/transaction/{unknown}").status_code == 404
    read(finance, "transactions/pay_unknown/", 404)


def test_a_refund_is_asked_for_once(finance: Person, payment: Payment) -> None:
    assert 'value="25.00"' in read(finance, f"refunds/?payment={payment.public_id}")
    form = {"payment": payment.public_id, "amount": "10", "reason": "asked for", "token": uuid4().hex}
    for _time in range(2):
        assert finance.client.post("/staff/refunds/", form).status_code == 302
    refund = Refund.objects.get()
    assert (str(refund.amount), refund.status) == ("10.000000", "completed")
    assert refund.public_id in read(finance, "refunds/")
    assert refund.public_id in read(finance, f"transactions/{payment.public_id}/")


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "26"},
        {"amount": "0"},
        {"amount": "x"},
        {"payment": "pay_unknown"},
        {"reason": ""},
        {"token": "short"},
    ],
)
def test_a_wrong_refund_moves_nothing(finance: Person, payment: Payment, change: dict[str, str]) -> None:
    form = {"payment": payment.public_id, "amount": "10", "reason": "asked for", "token": uuid4().hex, **change}
    assert finance.client.post("/staff/refunds/", form).status_code == 422
    assert not Refund.objects.exists()


def test_whose_the_money_is(finance: Person, organisation: Organisation, operator: Organisation, provider: str) -> None:
    fund(organisation, "100")
    use(organisation, provider, "30")
    use(organisation, provider, "10", operator)
    page = read(finance, "costs/")
    for fact in ("$40.00", "$30.00", "$8.50", "$1.50", "3.8 %", "AWS is not configured"):
        assert fact in page
    body = finance.api("get", "admin/costs").json()
    assert body["owed_to_providers"] == [{"provider": "runpod", "amount": {"amount": "30.000000", "currency": "USD"}}]
    (first,) = body["months"]
    assert (first["month"], first["margin"]["amount"], first["aws"]) == (f"{now():%Y-%m}", "1.500000", None)
    assert "not configured" in body["aws_problem"]


@pytest.fixture
def aws(settings: Any) -> Iterator[CostExplorer]:
    with cost_explorer() as server:
        settings.AWS_COST_KEY_ID, settings.AWS_COST_SECRET = "AKIATEST", "very-secret-key"
        settings.AWS_COST_URL = server.url
        yield server


def test_what_aws_charges_is_asked_once(finance: Person, aws: CostExplorer) -> None:
    this = f"{now():%Y-%m}-01"
    aws.results = [
        [month(this, f"{now():%Y-%m-%d}", **{"Amazon Simple Email Service": "1.2300000000"})],
        [month(this, f"{now():%Y-%m-%d}", **{"AmazonCloudWatch": "0.7700000000", "AWS Glue": "0"})],
    ]
    for _look in range(2):
        page = read(finance, "costs/")
    assert "Amazon Simple Email Service" in page
    assert "$2.00" in page
    assert "−$2.00" in page  # the margin of a month without revenue
    assert "AWS Glue" not in page
    assert len(aws.asked) == 2  # two pages, once
    asked = aws.asked[0]
    assert (asked["Granularity"], asked["Metrics"]) == ("MONTHLY", ["UnblendedCost"])
    assert asked["TimePeriod"]["End"] == f"{now() + timedelta(days=1):%Y-%m-%d}"


def test_aws_that_refuses_breaks_no_page(finance: Person, aws: CostExplorer) -> None:
    aws.failure = "AccessDeniedException"
    for _look in range(2):
        page = read(finance, "costs/")
    assert "AccessDeniedException" in page
    assert "very-secret-key" not in page
    assert "secret detail" not in page
    assert len(aws.asked) == 1


def test_aws_that_is_away_breaks_no_page(finance: Person, aws: CostExplorer, settings: Any) -> None:
    settings.AWS_COST_URL = "http://127.0.0.1:9"
    assert "EndpointConnectionError" in read(finance, "costs/")


def test_a_customer_by_the_api(finance: Person, owner: Person, organisation: Organisation) -> None:
    fund(organisation, "7")
    body = finance.api("get", "admin/customer/owner@andes.example").json()
    assert body["organisations"][0]["balances"][0] == {"amount": "7.000000", "currency": "USD"}
    assert body["organisations"][0]["spent_30_days"]["amount"] == "0.000000"
    shown = member_of("support").api("get", "admin/customer/owner@andes.example").json()["organisations"][0]
    assert not {"balances", "spent_30_days"} & shown.keys()


def test_days_of_transactions_in_the_wrong_order(finance: Person) -> None:
    assert "The last day is before" in read(finance, "transactions/?since=2026-02-02&until=2026-02-01", 422)


def test_numbered_pages_keep_what_was_asked_for(finance: Person) -> None:
    Organisation.objects.bulk_create(Organisation(name=f"Many {number}") for number in range(51))
    page = read(finance, "customers/?q=many")
    assert 'href="?q=many&amp;page=2"' in page
    assert 'href="?q=many&amp;page=1"' in read(finance, "customers/?q=many&page=2")


def test_reconciliation_and_chargebacks_are_in_words(finance: Person, payment: Payment) -> None:
    ReconciliationCase.objects.create(
        source="paypal", kind="missing", subject="pay_1", ours="25 USD", theirs="nothing", seen_at=now()
    )
    page = read(finance, "reconciliation/")
    assert "PayPal · unknown there · pay_1" in page
    assert "Our own books" in page
    Chargeback.objects.create(
        payment=payment, service="stripe", service_ref="dp_1", amount=25, reason="fraudulent", opened_at=now()
    )
    page = read(finance, "chargebacks/")
    assert "not paid by the cardholder" in page
    assert "fraudulent" not in page
