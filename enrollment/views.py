"""Pages of the journey: plans → checkout → payment → activate → provisioning → ready."""

from __future__ import annotations

from uuid import uuid4

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib.auth import login
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import current_organisation
from accounts.requests import Request
from accounts.roles import Permission
from billing import payment_methods
from billing.lifecycle import PaymentStatus
from billing.models import PaymentMethod, Plan
from billing.payments import declines
from billing.plans import find_plan, public_plans
from billing.referrals import keep_after_sign_up as keep_referral
from enrollment import activation, checkout
from enrollment.access import current_enrolment, get_enrolment, remember
from enrollment.forms import ActivateForm, CheckoutForm
from enrollment.geo import detect_country
from enrollment.models import Enrolment
from enrollment.states import EnrolmentStatus
from lib.errors import AppError
from lib.rate import limit
from notifications.mailbox import remember_address


@require_GET
def show_plans(request: Request) -> HttpResponse:
    return render(request, "enrollment/plans.html", {"plans": public_plans()})


@require_http_methods(["GET", "POST"])
def show_checkout(request: Request) -> HttpResponse:
    plan = find_plan(request.POST.get("plan") or request.GET.get("plan") or "pro")
    person = request.user if request.user.is_authenticated else None
    place = detect_country(request)
    form = CheckoutForm(
        request.POST if request.method == "POST" else None,
        person=person,
        cards=_cards_of(request),
        initial={"country": (person.country if person else "") or place.country, "token": uuid4().hex},
    )
    if request.method == "POST" and form.is_valid():
        limit(request, "checkout", per_minute=20)
        return _begin(request, plan, form)
    context = {"form": form, "plan": plan, "plans": public_plans(), "place": place}
    return render(request, "enrollment/checkout.html", context, status=422 if form.errors else 200)


def _begin(request: Request, plan: Plan, form: CheckoutForm) -> HttpResponse:
    data = form.cleaned_data
    person = request.user if request.user.is_authenticated else None
    organisation = current_organisation(request.actor, Permission.MANAGE_BILLING) if person else None
    enrolment = checkout.begin(
        plan=plan,
        customer=checkout.Customer(
            email=person.email if person else data["email"],
            name=person.name if person else data["name"],
            country=data["country"],
            identity_kind=data["identity_kind"],
            identity=data["identity"],
        ),
        person=person,
        organisation=organisation,
        session=request.session,
        token=data["token"],
    )
    keep_referral(request=request, person=enrolment.user, organisation=enrolment.organisation)
    remember(request, enrolment)
    remember_address(request, enrolment.user.email)
    if enrolment.status not in checkout.UNPAID:
        return redirect("enrollment:check-mail")
    return _to_payment(enrolment, form.card)


def _cards_of(request: Request) -> list[PaymentMethod]:
    """The saved cards with which whoever is signed in may pay."""
    if not request.user.is_authenticated:
        return []
    try:
        return list(payment_methods.cards_of(current_organisation(request.actor, Permission.MANAGE_BILLING)))
    except AppError:  # who may not pay is told so when they try
        return []


def _to_payment(enrolment: Enrolment, card: PaymentMethod | None = None) -> HttpResponse:
    back = reverse("enrollment:returned", args=[enrolment.public_id])
    payment = checkout.start_payment(
        enrolment,
        card=card,
        return_url=f"{settings.PUBLIC_URL}{back}",
        cancel_url=f"{settings.PUBLIC_URL}{back}?cancelled=1",
    )
    waits = payment.status == PaymentStatus.CREATED and payment.approve_url
    return redirect(payment.approve_url if waits else back)


@require_POST
def pay_again(request: Request, enrolment_id: str) -> HttpResponse:
    return _to_payment(get_enrolment(request, enrolment_id))


@require_GET
def returned(request: Request, enrolment_id: str) -> HttpResponse:
    """Back from the payment service. What the address says is not believed: the service is asked."""
    enrolment = get_enrolment(request, enrolment_id)
    if "cancelled" not in request.GET:
        enrolment = checkout.finish_payment(enrolment)
    if enrolment.status == EnrolmentStatus.STARTED:
        declined = declines.explain(enrolment.payment.reason) if enrolment.payment else ""
        return render(request, "enrollment/unpaid.html", {"enrolment": enrolment, "declined": declined})
    return redirect("enrollment:check-mail")


@require_GET
def check_mail(request: Request) -> HttpResponse:
    return render(request, "enrollment/check_mail.html", {"enrolment": current_enrolment(request)})


@require_POST
def send_key_again(request: Request) -> HttpResponse:
    limit(request, "send-key", per_minute=3)
    enrolment = current_enrolment(request)
    if enrolment.status == EnrolmentStatus.PAID:
        checkout.send_key(enrolment)
    return redirect("enrollment:check-mail")


@require_http_methods(["GET", "POST"])
def show_activate(request: Request) -> HttpResponse:
    form = ActivateForm(request.POST or None)
    status = 200
    if request.method == "POST":
        limit(request, "activate", per_minute=20)
        if form.is_valid():
            try:
                enrolment = activation.activate(form.cleaned_data["key"])
            except AppError as refusal:
                form.add_error("key", refusal.message)
            else:
                return _come_in(request, enrolment)
        status = 422
    return render(request, "enrollment/activate.html", {"form": form}, status=status)


def _come_in(request: Request, enrolment: Enrolment) -> HttpResponse:
    """The key came by mail, so who holds it has the mailbox: sign in, unless a second factor is asked for."""
    remember(request, enrolment)
    person = enrolment.user
    if not request.user.is_authenticated and not person.is_staff and not is_mfa_enabled(person):
        login(request, person, backend="django.contrib.auth.backends.ModelBackend")
        remember(request, enrolment)
    return redirect("enrollment:provisioning")


@require_GET
def show_provisioning(request: Request) -> HttpResponse:
    enrolment = activation.follow_pod(current_enrolment(request))
    if enrolment.status in {EnrolmentStatus.STARTED, EnrolmentStatus.PAID}:
        return redirect("enrollment:check-mail")
    if enrolment.status == EnrolmentStatus.READY:
        if request.htmx:
            answer = HttpResponse()
            answer["HX-Redirect"] = reverse("enrollment:ready")
            return answer
        return redirect("enrollment:ready")
    template = "enrollment/_provisioning.html" if request.htmx else "enrollment/provisioning.html"
    placement = enrolment.pod.placements.order_by("-epoch", "-attempt").first() if enrolment.pod else None
    return render(request, template, {"enrolment": enrolment, "pod": enrolment.pod, "placement": placement})


@require_POST
def try_again(request: Request) -> HttpResponse:
    enrolment = current_enrolment(request)
    if enrolment.status == EnrolmentStatus.FAILED and enrolment.pod_id is None:
        activation.start_first_pod(enrolment)
    return redirect("enrollment:provisioning")


@require_GET
def show_ready(request: Request) -> HttpResponse:
    enrolment = activation.follow_pod(current_enrolment(request))
    if enrolment.status != EnrolmentStatus.READY:
        return redirect("enrollment:provisioning")
    return render(request, "enrollment/ready.html", {"enrolment": enrolment, "pod": enrolment.pod})


@require_GET
def show_legal(request: Request, page: str) -> HttpResponse:
    return render(request, f"enrollment/{page}.html", {"page": page})
