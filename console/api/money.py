"""Staff routes of money: costs, customers, billing, one transaction with its legs, receipts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Sum
from django.utils.translation import gettext as _
from ninja import Router, Schema
from pydantic import Field

from accounts.models import Organisation, User
from accounts.requests import Request
from billing import plans, receipts, wallet
from billing.models import Payment, Subscription, Transfer
from console import costs, customers, spending, transactions
from console.access import get_row, may_see, require_staff
from lib.clock import now
from lib.errors import NotFound
from lib.lists import page_of
from lib.money import money_json
from pods.models import Pod

router = Router(tags=["staff"])


class ReceiptIn(Schema):
    payment_id: str = Field(max_length=40)


@router.get("admin/costs")
def get_costs(request: Request) -> dict[str, Any]:
    """What was used this month, what we owe providers, and by month whose the money is, with AWS where it is known."""
    require_staff(request.actor, "billing")
    found = costs.costs()
    spent = spending.spent_since(None, spending.month_start())
    return {
        "month": [money_json(amount, currency) for currency, amount in spent.items()],
        "owed_to_providers": [
            {"provider": provider, "amount": money_json(amount, costs.CURRENCY)}
            for provider, amount in found.owed.items()
        ],
        "months": [_show_month(month) for month in found.months],
        "aws_problem": found.aws.problem,
    }


@router.get("admin/customers")
def list_customers(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    require_staff(request.actor, "accounts")
    return page_of(User.objects.filter(is_staff=False), limit=limit, cursor=cursor, show=_show_person)


@router.get("admin/customer/{email}")
def get_customer(request: Request, email: str) -> dict[str, Any]:
    """A person, and the organisations they belong to; balances and what was spent for staff who may see billing."""
    require_staff(request.actor, "accounts")
    person = User.objects.filter(email__iexact=email).first()
    if person is None:
        raise NotFound(_("Nobody has this address."))
    organisations = Organisation.objects.filter(memberships__user=person)
    sees_money = may_see(request.actor, "billing")
    return _show_person(person) | {
        "organisations": [_show_organisation(row, sees_money=sees_money) for row in organisations],
        "pods": Pod.objects.filter(organisation__in=organisations).count(),
    }


@router.get("admin/billing")
def get_billing(
    request: Request,
    kind: str = "",
    service: str = "",
    status: str = "",
    limit: int = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """What was received, and all transactions, newest first: payments, refunds, chargebacks, USDC and payouts."""
    require_staff(request.actor, "billing")
    paid = Payment.objects.filter(status="captured")
    totals = paid.values_list("currency").annotate(total=Sum("amount"))
    wanted = transactions.Wanted(kind=kind, service=service, status=status)
    page = transactions.page(wanted, limit=limit, cursor=cursor)
    return {
        "subscriptions": Subscription.objects.filter(status="active").count(),
        "payments": paid.count(),
        "received": [money_json(amount, currency) for currency, amount in totals],
        "items": [_show_transaction(row) for row in page["items"]],
        "next": page["next"],
    }


@router.get("admin/transaction/{tx_id}")
def get_transaction(request: Request, tx_id: str) -> dict[str, Any]:
    """By its public id (such as `pay_…`), with its legs in the ledger; or one transfer of the ledger by its own id."""
    require_staff(request.actor, "billing")
    transfer_id = _as_uuid(tx_id)
    if transfer_id is None:
        found = transactions.find(tx_id)
        return _show_transaction(found) | {"legs": [_show_transfer(leg) for leg in transactions.legs_of(found)]}
    row = Transfer.objects.select_related("debit_account", "credit_account").filter(pk=transfer_id).first()
    if row is None:
        raise NotFound(_("There is no such transfer."))
    return _show_transfer(row)


@router.post("admin/resend-receipt")
def resend_receipt(request: Request, body: ReceiptIn) -> dict[str, Any]:
    require_staff(request.actor, "billing", change=True)
    receipts.send_receipt(get_row(Payment.objects.filter(status="captured"), "pay", body.payment_id))
    return {"sent": True}


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _show_month(month: costs.Month) -> dict[str, Any]:
    sums = {"charged": month.billed, "operators": month.operators, "revenue": month.revenue, "margin": month.margin}
    return {
        "month": f"{month.first:%Y-%m}",
        **{name: money_json(amount, costs.CURRENCY) for name, amount in sums.items()},
        "providers": {slug: money_json(amount, costs.CURRENCY) for slug, amount in month.providers.items()},
        "aws": None if month.aws is None else money_json(month.aws, costs.CURRENCY),
    }


def _show_person(person: User) -> dict[str, Any]:
    return {
        "id": person.public_id,
        "email": person.email,
        "name": person.name,
        "country": person.country,
        "joined": person.date_joined,
        "last_seen": person.last_login,
    }


def _show_organisation(organisation: Organisation, *, sees_money: bool) -> dict[str, Any]:
    month = now() - timedelta(days=customers.DAYS)
    shown: dict[str, Any] = {
        "id": organisation.public_id,
        "name": organisation.name,
        "plan": plans.current_plan(organisation).slug,
    }
    if sees_money:
        shown["spent_30_days"] = money_json(customers.spent_since(organisation, month), "USD")
        balances = [wallet.balance(organisation, currency) for currency in wallet.BALANCES]
        shown["balances"] = [money_json(row.available, row.currency) for row in balances]
    return shown


def _show_transaction(row: transactions.Transaction) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "service": row.service,
        "status": row.status,
        "organisation": row.organisation.public_id if row.organisation else None,
        "amount": money_json(row.amount, row.currency),
        "at": row.at,
    }


def _show_transfer(row: Transfer) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "debit": str(row.debit_account),
        "credit": str(row.credit_account),
        "amount": money_json(row.amount, row.currency),
        "state": row.state,
        "source": {"type": row.source_type, "id": row.source_id},
        "memo": row.memo,
        "created_at": row.created_at,
    }
