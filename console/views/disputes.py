"""The staff pages of disputes between renters and owners: what waits for a decision, and deciding it."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Case, IntegerField, Value, When
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from accounts.access import require_person
from accounts.requests import Request
from billing.access import evidence_of
from billing.disputes import deciding, evidence
from billing.lifecycle import DisputeStatus
from billing.models import Dispute
from billing.views.disputes import about
from console.access import require_staff
from lib.errors import AppError, NotFound
from lib.ids import decode_id

ROWS = 50
TO_DECIDE = (DisputeStatus.ANSWERED, DisputeStatus.APPEALED)


class DecisionForm(forms.Form):
    refund = forms.CharField(
        label=gettext_lazy("Refund to the renter"), max_length=24, widget=forms.TextInput({"inputmode": "decimal"})
    )
    note = forms.CharField(
        label=gettext_lazy("Reason, which both sides read"), max_length=2000, widget=forms.Textarea({"rows": 5})
    )


def find(dispute_id: str) -> Dispute:
    found = Dispute.objects.select_related("renter", "owner").filter(pk=decode_id("dsp", dispute_id)).first()
    if found is None:
        raise NotFound(_("There is no such dispute."))
    return found


@require_GET
def list_disputes(request: Request) -> HttpResponse:
    """Those that wait for staff first, the oldest of them on top."""
    require_staff(request.actor, "billing")
    first = Case(When(status__in=TO_DECIDE, then=Value(0)), default=Value(1), output_field=IntegerField())
    rows = Dispute.objects.select_related("renter", "owner").annotate(first=first).order_by("first", "pk")
    page = Paginator(rows, ROWS).get_page(request.GET.get("page"))
    pages = {
        "number": page.number,
        "pages": page.paginator.num_pages,
        "previous_url": f"?page={page.previous_page_number()}" if page.has_previous() else "",
        "next_url": f"?page={page.next_page_number()}" if page.has_next() else "",
    }
    return render(request, "console/disputes.html", {"rows": page, "pages": pages})


@require_GET
def show_dispute(request: Request, dispute_id: str) -> HttpResponse:
    require_staff(request.actor, "billing")
    dispute = find(dispute_id)
    context = about(dispute, None) | {
        "form": DecisionForm(initial={"refund": f"{dispute.amount.normalize():f}"}),
        "may_decide": dispute.status in TO_DECIDE,
    }
    return render(request, "console/dispute.html", context)


@require_POST
def decide(request: Request, dispute_id: str) -> HttpResponse:
    require_staff(request.actor, "billing", change=True)
    dispute = find(dispute_id)
    try:
        deciding.decide(
            dispute=dispute,
            refund=request.POST.get("refund", "").strip(),
            note=request.POST.get("note", ""),
            person=require_person(request.actor),
        )
    except AppError as refusal:
        messages.error(request, refusal.message)
    else:
        messages.success(request, _("Decided. Both sides are told."))
    return redirect("console:dispute", dispute.public_id)


@require_GET
def download(request: Request, dispute_id: str, evidence_id: str) -> HttpResponse:
    require_staff(request.actor, "billing")
    return evidence.as_file(evidence_of(find(dispute_id), evidence_id))
