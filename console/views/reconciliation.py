"""The staff page of reconciliation: when each source was last clean, what differs now, and what explained it."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from accounts.access import require_person
from accounts.requests import Request
from billing import reconciliation
from billing.models import ReconciliationCase
from billing.tasks import reconcile_everything
from console.access import require_staff
from lib.errors import AppError, NotFound
from lib.rate import limit


class NoteForm(forms.Form):
    note = forms.CharField(label=gettext_lazy("What the reason was"), max_length=500)


@require_GET
def show_reconciliation(request: Request) -> HttpResponse:
    require_staff(request.actor, "billing")
    context = {
        "states": reconciliation.states(),
        "cases": reconciliation.open_cases(),
        "closed": ReconciliationCase.objects.filter(resolved_at__isnull=False).order_by("-resolved_at")[:20],
        "form": NoteForm(),
    }
    return render(request, "console/reconciliation.html", context)


@require_POST
def run_reconciliation(request: Request) -> HttpResponse:
    """A worker compares; the page shows each source as it ends."""
    require_staff(request.actor, "billing", change=True)
    limit(request, "reconciliation.run", per_minute=6)
    reconcile_everything.delay_on_commit()
    messages.info(request, _("The comparison has begun. Reload the page in a moment."))
    return redirect("console:reconciliation")


@require_POST
def resolve_case(request: Request, case_id: UUID) -> HttpResponse:
    require_staff(request.actor, "billing", change=True)
    case = ReconciliationCase.objects.filter(pk=case_id).first()
    if case is None:
        raise NotFound(_("There is no such case."))
    try:
        reconciliation.resolve(case, person=require_person(request.actor), note=request.POST.get("note", ""))
    except AppError as refusal:
        messages.error(request, refusal.message)
    else:
        messages.success(request, _("The case is closed."))
    return redirect("console:reconciliation")
