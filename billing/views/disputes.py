"""Pages of disputes, for both sides: the list, opening one, what is said and shown in it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.models import Organisation
from accounts.requests import Request
from accounts.roles import Permission
from billing import access
from billing.disputes import claims, evidence, opening, reading
from billing.forms.disputes import OpenForm, TextForm
from billing.models import Dispute
from lib.errors import AppError, Conflict
from lib.forms import add_refusal
from lib.rate import limit

ROWS = 25
LIVE_PATH = "/ws/dashboard/"  # carries every event of the organisation, those of disputes too


@require_GET
def list_disputes(request: Request) -> HttpResponse:
    organisation = access.organisation_to_see(request.actor)
    page = Paginator(reading.disputes_of(organisation), ROWS).get_page(request.GET.get("page"))
    context = {"rows": page, "organisation": organisation, "live_path": LIVE_PATH}
    return render(request, "billing/disputes.html", context)


@require_http_methods(["GET", "POST"])
def open_dispute(request: Request, pod_id: str) -> HttpResponse:
    subject = claims.subject_of(request.actor, pod_id)
    first = subject.claims[0] if subject.claims else None
    if request.method == "POST":
        if (dispute := opening.opened_before(subject.renter, _key(request.POST.get("token", "")))) is not None:
            return redirect("billing:dispute", dispute.public_id)  # the form was sent twice
        if first is None:
            claims.pick(subject, "")  # says why there is nothing to dispute
        limit(f"organisation:{request.actor.organisation_id}", "disputes.open", per_minute=10)
        form = OpenForm(subject, request.POST)
        if form.is_valid() and (dispute := _open(request, pod_id, form)) is not None:
            return redirect("billing:dispute", dispute.public_id)
    else:
        amount = f"{first.paid.normalize():f}" if first else ""
        form = OpenForm(subject, initial={"token": uuid4().hex, "amount": amount})
    context = {
        "form": form,
        "subject": subject,
        "pod_id": pod_id,
        "days": opening.ANSWER_WITHIN.days,
        "window": claims.WINDOW.days,
    }
    return render(request, "billing/dispute_open.html", context, status=422 if form.errors else 200)


def _open(request: Request, pod_id: str, form: OpenForm) -> Dispute | None:
    data = form.cleaned_data
    try:
        return opening.open_dispute(
            actor=request.actor,
            pod_id=pod_id,
            owner=data["owner"],
            amount=data["amount"],
            reason=data["reason"],
            text=data["text"],
            idempotency_key=_key(data["token"]),
        )
    except Conflict as refusal:
        form.add_error(None, refusal.message)
    except AppError as refusal:
        add_refusal(form, refusal)
    return None


def _key(token: str) -> str:
    return f"page-{token}"[:120] if token.isprintable() else "page-"


@require_GET
def show(request: Request, dispute_id: str) -> HttpResponse:
    dispute, side = access.get_dispute(request.actor, dispute_id)
    if request.htmx:
        return render(request, "billing/_dispute.html", reading.about(dispute, side))
    return _page(request, dispute, side, TextForm())


def _page(request: Request, dispute: Dispute, side: Organisation, form: TextForm, saying: str = "") -> HttpResponse:
    """`saying`: what was said and refused, which stays in its form."""
    context = reading.about(dispute, side) | {"form": form, "live_path": LIVE_PATH}
    if saying:
        context |= {"may_answer": saying == "answer", "may_appeal": saying == "appeal"}
    return render(request, "billing/dispute.html", context, status=422 if form.errors else 200)


@require_POST
def answer(request: Request, dispute_id: str) -> HttpResponse:
    return _say(request, dispute_id, opening.answer, _("Your answer is sent."))


@require_POST
def appeal(request: Request, dispute_id: str) -> HttpResponse:
    return _say(request, dispute_id, opening.appeal, _("Your appeal is sent. Somebody else of our staff decides."))


def _say(request: Request, dispute_id: str, verb: Any, done: str) -> HttpResponse:
    dispute, side = access.get_dispute(request.actor, dispute_id, Permission.MANAGE_BILLING)
    limit(f"organisation:{side.pk}", "disputes.say", per_minute=20)
    form = TextForm(request.POST)
    if form.is_valid():
        try:
            verb(dispute=dispute, side=side, text=form.cleaned_data["text"], actor=request.actor)
        except AppError as refusal:
            add_refusal(form, refusal)
    if form.errors:
        dispute.refresh_from_db()
        return _page(request, dispute, side, form, verb.__name__)
    messages.success(request, done)
    return redirect("billing:dispute", dispute.public_id)


@require_POST
def hand_in(request: Request, dispute_id: str) -> HttpResponse:
    dispute, side = access.get_dispute(request.actor, dispute_id, Permission.MANAGE_BILLING)
    limit(f"organisation:{side.pk}", "disputes.evidence", per_minute=20)
    try:
        evidence.hand_in(dispute=dispute, side=side, file=request.FILES.get("file"), actor=request.actor)
    except AppError as refusal:
        messages.error(request, refusal.message)
    else:
        messages.success(request, _("The file is handed in."))
    return redirect("billing:dispute", dispute.public_id)


@require_GET
def download(request: Request, dispute_id: str, evidence_id: str) -> HttpResponse:
    return evidence.as_file(access.get_evidence(request.actor, dispute_id, evidence_id))
