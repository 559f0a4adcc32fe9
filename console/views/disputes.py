"""The staff pages of disputes between renters and owners: what waits for a decision, and deciding it."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Case, IntegerField, Value, When
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.access import require_person
from accounts.requests import Request
from billing.access import evidence_of
from billing.disputes import deciding, evidence, reading
from billing.forms.disputes import DecisionForm
from billing.lifecycle import DisputeStatus
from billing.models import Dispute
from console.access import get_row, require_staff
from lib.errors import AppError
from lib.forms import add_refusal

ROWS = 50
TO_DECIDE = (DisputeStatus.ANSWERED, DisputeStatus.APPEALED)


@require_GET
def list_disputes(request: Request) -> HttpResponse:
    """Those that wait for staff first, the oldest of them on top."""
    require_staff(request.actor, "billing")
    first = Case(When(status__in=TO_DECIDE, then=Value(0)), default=Value(1), output_field=IntegerField())
    rows = Dispute.objects.select_related("renter", "owner").annotate(first=first).order_by("first", "pk")
    page = Paginator(rows, ROWS).get_page(request.GET.get("page"))
    return render(request, "console/disputes.html", {"rows": page})


@require_GET
def show_dispute(request: Request, dispute_id: str) -> HttpResponse:
    require_staff(request.actor, "billing")
    dispute = _find(dispute_id)
    return _page(request, dispute, DecisionForm(initial={"refund": f"{dispute.amount.normalize():f}"}))


def _find(dispute_id: str) -> Dispute:
    return get_row(Dispute.objects.select_related("renter", "owner"), "dsp", dispute_id)


def _page(request: Request, dispute: Dispute, form: DecisionForm) -> HttpResponse:
    context = reading.about(dispute, None) | {
        "form": form,
        "may_decide": form.errors or dispute.status in TO_DECIDE,  # what was written stays, also when it is too late
    }
    return render(request, "console/dispute.html", context, status=422 if form.errors else 200)


@require_POST
def decide(request: Request, dispute_id: str) -> HttpResponse:
    require_staff(request.actor, "billing", change=True)
    dispute, form = (
        _find(dispute_id),
        DecisionForm(request.POST),
    )
    if form.is_valid():
        try:
            deciding.decide(dispute=dispute, person=require_person(request.actor), **form.cleaned_data)
        except AppError as refusal:
            add_refusal(form, refusal)
    if form.errors:
        dispute.refresh_from_db()
        return _page(request, dispute, form)
    messages.success(request, _("Decided. Both sides are told."))
    return redirect("console:dispute", dispute.public_id)


@require_GET
def download(request: Request, dispute_id: str, evidence_id: str) -> HttpResponse:
    require_staff(request.actor, "billing")
    return evidence.as_file(evidence_of(_find(dispute_id), evidence_id))
