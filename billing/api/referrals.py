"""Routes of referrals."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from ninja import Router, Schema

from accounts.requests import Request
from billing import access, lots, referrals
from billing.models import Referral
from lib.lists import page_of
from lib.money import money_json
from lib.schemas import Money

router = Router(tags=["billing"])


class ReferralOut(Schema):
    id: str
    status: str
    signed_up_at: datetime
    reward_due_at: datetime | None
    earned: Money | None
    rewarded_at: datetime | None


class ReferralPage(Schema):
    items: list[ReferralOut]
    next: str | None


class ReferralCodeOut(Schema):
    code: str
    link: str
    reward: Money
    reward_days: int
    rewards_per_month: int
    earned: Money


def show_referral(referral: Referral) -> dict[str, Any]:
    """Neither who it is nor why somebody is not eligible."""
    return {
        "id": referral.public_id,
        "status": referral.status,
        "signed_up_at": referral.created_at.isoformat(),
        "reward_due_at": referral.due_at.isoformat() if referral.due_at and not referral.reward else None,
        "earned": money_json(referral.reward, lots.CURRENCY) if referral.reward else None,
        "rewarded_at": referral.rewarded_at.isoformat() if referral.rewarded_at else None,
    }


@router.get("referrals/", response=ReferralPage)
def list_referrals(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Who signed up by the organisation's link, newest first: `signed_up`, `paid` (the first month), `rewarded`,
    `refused` (not eligible)."""
    organisation = access.organisation_to_see(request.actor)
    return page_of(referrals.referrals_of(organisation), limit=limit, cursor=cursor, show=show_referral)


@router.get("referrals/code", response=ReferralCodeOut)
def read_code(request: Request) -> dict[str, Any]:
    """The organisation's link, and what it has earned. Both sides get `reward` after the newcomer's first paid month."""
    summary = referrals.summary_of(access.organisation_to_see(request.actor))
    return {
        "code": summary.code,
        "link": summary.link,
        "reward": money_json(settings.REFERRAL_CREDITS, lots.CURRENCY),
        "reward_days": referrals.REWARD_LIFE.days,
        "rewards_per_month": referrals.PER_MONTH,
        "earned": money_json(summary.earned, lots.CURRENCY),
    }
