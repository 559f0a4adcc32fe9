"""Routes of the wallet's history: by pages, and whole as a file."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.http import StreamingHttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from accounts.requests import Request
from billing import access, history
from lib.money import money_json
from lib.rate import limit as limit_rate
from lib.schemas import Money

router = Router(tags=["billing"])


class WantedIn(Schema):
    """Days are in UTC and both included."""

    currency: str = Field("", max_length=6)
    since: date | None = None
    until: date | None = None

    def wanted(self) -> history.Wanted:
        return history.Wanted(self.currency, self.since, self.until)


class MovementOut(Schema):
    id: str
    at: datetime
    amount: Money
    balance: Money
    source_type: str
    source_id: str
    memo: str


class MovementPage(Schema):
    items: list[MovementOut]
    next: str | None


def show_movement(row: history.Movement) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "at": row.at,
        "amount": money_json(row.amount, row.currency),
        "balance": money_json(row.balance, row.currency),
        "source_type": row.source_type,
        "source_id": row.source_id,
        "memo": row.memo,
    }


@router.get("wallets/transactions", response=MovementPage)
def list_movements(
    request: Request, filters: Query[WantedIn], limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """Money and credits in (+) and out (−) of the organisation's own accounts, newest first."""
    organisation = access.organisation_to_see(request.actor)
    page = history.page(organisation, filters.wanted(), limit=limit, cursor=cursor)
    return {"items": [show_movement(row) for row in page["items"]], "next": page["next"]}


@router.get(
    "wallets/transactions.csv",
    response={200: None},
    openapi_extra={"responses": {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}},
)
def download_movements(request: Request, filters: Query[WantedIn]) -> StreamingHttpResponse:
    """All of them as a file, oldest first; times are UTC."""
    organisation = access.organisation_to_see(request.actor)
    limit_rate(f"organisation:{organisation.pk}", "billing.export", per_minute=30)
    return history.as_file(request, organisation, filters.wanted())
