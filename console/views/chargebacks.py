"""Staff pages of chargebacks: what payers' banks dispute, the evidence as it will be sent, and the answer."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from accounts.requests import Request
from billing import chargebacks, evidence
from billing.models import Chargeback
from console.access import get_row, require_staff
from lib.errors import AppError
from lib.rate import limit

ROWS = 50
LIVE_PATH = "/ws/staff/billing/"


class EvidenceForm(forms.Form):
    """`shown` is the digest of the evidence that was on the page when it was sent."""

    statement = forms.CharField(
        label=gettext_lazy("What you want to add, in English"),
        max_length=evidence.LONGEST_STATEMENT,
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "hx-preserve": "true"}),
    )
    shown = forms.CharField(max_length=64, required=False, widget=forms.HiddenInput)


@require_GET
def list_chargebacks(request: Request) -> HttpResponse:
    require_staff(request.actor, "billing")
    rows = Chargeback.objects.select_related("payment__organisation")
    waiting = list(rows.filter(status__in=chargebacks.WAITING).order_by("due_at"))
    others = rows.exclude(status__in=chargebacks.WAITING).order_by("-opened_at")
    page = Paginator(others, ROWS).get_page(request.GET.get("page"))
    return render(request, "console/chargebacks.html", {"waiting": waiting, "others": page})


@require_GET
def show_chargeback(request: Request, chargeback_id: str) -> HttpResponse:
    require_staff(request.actor, "billing")
    return _page(request, _find(chargeback_id), EvidenceForm())


@require_POST
def submit_evidence(request: Request, chargeback_id: str) -> HttpResponse:
    """Sent only as it was shown; what has changed since, such as by a statement, is shown first."""
    actor = require_staff(request.actor, "billing", change=True)
    limit(request, "chargeback.submit", per_minute=20)
    row, form = _find(chargeback_id), EvidenceForm(request.POST)
    if not form.is_valid():
        return _page(request, row, form, status=422)
    pack = row.evidence or evidence.compile_pack(row, form.cleaned_data["statement"])
    if form.cleaned_data["shown"] != evidence.digest(pack):
        return _page(request, row, form)
    return _answer(request, row, lambda: chargebacks.submit(chargeback=row, evidence=pack, actor=actor))


@require_POST
def accept_chargeback(request: Request, chargeback_id: str) -> HttpResponse:
    actor = require_staff(request.actor, "billing", change=True)
    limit(request, "chargeback.accept", per_minute=20)
    row = _find(chargeback_id)
    if request.POST.get("sure") != "yes":
        messages.error(request, _("Say that you are sure: it cannot be taken back."))
        return redirect("console:chargeback", row.public_id)
    return _answer(request, row, lambda: chargebacks.accept(chargeback=row, actor=actor))


@require_GET
def download_evidence(request: Request, chargeback_id: str) -> HttpResponse:
    """What was sent, or what would be."""
    require_staff(request.actor, "billing")
    row = _find(chargeback_id)
    text = evidence.as_text(row, row.evidence or evidence.compile_pack(row))
    headers = {"Content-Disposition": f'attachment; filename="{row.public_id}.txt"', "Cache-Control": "private"}
    return HttpResponse(text, content_type="text/plain; charset=utf-8", headers=headers)


def _find(chargeback_id: str) -> Chargeback:
    rows = Chargeback.objects.select_related("payment__organisation", "payment__plan", "credit_note")
    return get_row(rows, "cbk", chargeback_id)


def _page(request: Request, row: Chargeback, form: EvidenceForm, *, status: int = 200) -> HttpResponse:
    statement = form.cleaned_data.get("statement", "") if form.is_bound and form.is_valid() else ""
    pack = row.evidence or evidence.compile_pack(row, statement)
    context = {
        "chargeback": row,
        "payment": row.payment,
        "form": form,
        "shown": evidence.digest(pack),
        "fields": _labelled(pack),
        "sent_before": [(parse_datetime(sent["at"]), _labelled(sent["evidence"])) for sent in row.sent_before],
        "waits": row.status in chargebacks.WAITING and not row.evidence and row.accepted_at is None,
        "may_accept": row.status == chargebacks.S.NEEDS_RESPONSE,
    }
    template = "console/_chargeback.html" if request.htmx else "console/chargeback.html"
    return render(request, template, {**context, "live_path": LIVE_PATH}, status=status)


def _labelled(pack: dict[str, str]) -> list[tuple[Any, str, str]]:
    return [(evidence.LABELS[name], name, text) for name, text in evidence.in_order(pack)]


def _answer(request: Request, row: Chargeback, act: Any) -> HttpResponse:
    try:
        after: Chargeback = act()
    except AppError as refusal:
        messages.error(request, refusal.message)
    else:
        if after.status in chargebacks.WAITING:
            messages.info(request, _("The payment service is not answering: it is told as soon as it does."))
        else:
            messages.success(request, after.get_status_display())
    return redirect("console:chargeback", row.public_id)
