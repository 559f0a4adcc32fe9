"""The page of referrals, and the link that people follow."""

from __future__ import annotations

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.requests import Request
from billing import access, referrals
from lib.rate import limit

ROWS = 25
LIVE_PATH = "/ws/dashboard/"  # carries every event of the organisation, those of referrals too


@require_GET
def show(request: Request) -> HttpResponse:
    organisation = access.organisation_to_see(request.actor)
    page = Paginator(referrals.referrals_of(organisation), ROWS).get_page(request.GET.get("page"))
    if request.htmx:
        return render(request, "billing/_referrals.html", {"rows": page})
    context = {
        "summary": referrals.summary_of(organisation),
        "rows": page,
        "live_path": LIVE_PATH,
        "reward": settings.REFERRAL_CREDITS,
        "days": referrals.REWARD_LIFE.days,
        "per_month": referrals.PER_MONTH,
    }
    return render(request, "billing/referrals.html", context)


@never_cache
@require_GET
def follow(request: Request, code: str) -> HttpResponse:
    """To the first page, by a link that is known or not: what can be tried must not tell which codes exist."""
    limit(request, "billing.referral", per_minute=30)
    answer = redirect("/")
    referrals.remember_visit(answer, code)
    return answer
