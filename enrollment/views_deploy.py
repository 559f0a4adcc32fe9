"""The shorter way: an offer, one form, a pod. Anonymous people fill it first; signing in keeps what they typed."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accounts.access import current_organisation
from accounts.requests import Request
from accounts.roles import Permission
from billing import wallet
from billing.credits import NoRate
from enrollment.drafts import drop_draft, keep_draft, read_draft
from enrollment.forms import DeployForm
from lib.errors import AppError
from marketplace.models import Offer
from marketplace.offers import find_offer
from pods.configs import create_config
from pods.deploy import deploy
from pods.models import Payer, Pod, PodConfig, PodTemplate
from pods.pricing import price_of


@require_http_methods(["GET", "POST"])
def show_deploy(request: Request) -> HttpResponse:
    draft = read_draft(request.session) or {}
    offer_id = request.POST.get("offer", request.GET.get("offer", draft.get("offer", "")))
    offer = find_offer(offer_id) if offer_id else None
    if request.method == "POST":
        form = DeployForm(request.POST)
        if form.is_valid() and "estimate" not in request.POST:
            if not request.user.is_authenticated:
                keep_draft(request.session, request.POST.dict())
                return redirect(f"{reverse('account_signup')}?{urlencode({'next': reverse('enrollment:deploy')})}")
            try:
                return _deploy(request, form, offer)
            except AppError as refusal:
                _show_refusal(form, refusal)
    else:
        form = DeployForm(initial=_initial(offer) | draft)
    return _page(request, form, offer)


def _deploy(request: Request, form: DeployForm, offer: Offer | None) -> HttpResponse:
    organisation = current_organisation(request.actor, Permission.RUN_PODS)
    token = form.cleaned_data["token"]
    there = Pod.objects.filter(organisation=organisation, deploy_key=token).first()
    if there is not None:  # the form was sent twice
        return redirect("console:pod", there.public_id)
    config = create_config(organisation=organisation, actor=request.actor, **form.config_columns())
    pod = deploy(
        organisation=organisation,
        config=config,
        offer=offer,
        actor=request.actor,
        idempotency_key=token,
    )
    drop_draft(request.session)
    return redirect("console:pod", pod.public_id)


def _show_refusal(form: DeployForm, refusal: AppError) -> None:
    for name, texts in refusal.fields.items():
        for text in texts:
            seen = name in form.fields and not form[name].is_hidden
            form.add_error(name if seen else None, text)
    if not refusal.fields:
        form.add_error(None, refusal.message)


def _page(request: Request, form: DeployForm, offer: Offer | None) -> HttpResponse:
    context: dict[str, Any] = {"form": form, "offer": offer}
    values = form.data if form.is_bound else form.initial
    if offer is not None:
        payer = str(values.get("payer") or Payer.WALLET)
        payer = payer if payer in Payer.values else Payer.WALLET
        spec = PodConfig(disk_gb=_whole(values.get("disk_gb"), 10), payer=payer)
        try:
            context["price"] = price_of(spec, offer)
        except NoRate as refusal:
            context["price_problem"] = refusal.message
    if request.user.is_authenticated and request.actor.organisation_id:
        organisation = current_organisation(request.actor, Permission.SEE_PODS)
        context["balances"] = wallet.balances(organisation)
    template = "enrollment/_deploy_estimate.html" if request.htmx else "enrollment/deploy.html"
    return render(request, template, context, status=422 if form.is_bound and form.errors else 200)


def _initial(offer: Offer | None) -> dict[str, Any]:
    template = PodTemplate.objects.filter(organisation=None, slug="count").first()
    ours = offer is None or offer.provider_id == "catalyst"
    if not ours:
        template = PodTemplate.objects.filter(organisation=None, slug="pytorch").first() or template
    return {
        "offer": offer.public_id if offer else "",
        "template": template,
        "name": f"pod-{uuid4().hex[:4]}",
        "gpu_query": offer.gpu_id if offer else "cpu",  # the demo job needs no card
        "gpu_count": offer.gpu_count if offer else 1,
        "kind": offer.kind if offer else Offer.Kind.ON_DEMAND,
        "disk_gb": template.disk_gb if template else 10,
        "payer": Payer.CREDITS if ours else Payer.WALLET,
        "auto_select": True,
        "token": uuid4().hex,
    }


def _whole(text: Any, default: int) -> int:
    try:
        return max(1, min(int(text), 65536))
    except (TypeError, ValueError):
        return default
