"""Public routes of the journey. Nobody is signed in here, so each is rate limited and tells nothing about others."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.conf import settings
from django.utils.translation import gettext as _
from ninja import Header, Router, Schema, Status
from pydantic import EmailStr, Field

from accounts.requests import Request
from accounts.sign_in import sign_in_staff
from billing.models import Plan
from enrollment import activation, checkout
from enrollment.access import get_enrolment, remember
from enrollment.forms import CheckoutForm
from enrollment.geo import detect_country
from enrollment.identities import Verdict, validate_cedula, validate_identity, validate_ruc
from enrollment.models import Enrolment
from lib.errors import Invalid, NotFound
from lib.money import money_json
from lib.rate import limit
from notifications.mailbox import remember_address

router = Router(tags=["enrolment"], auth=None)


class Health(Schema):
    ok: bool
    mode: str


class Geo(Schema):
    country: str
    source: str


class RucIn(Schema):
    ruc: str = Field(max_length=40)


class CedulaIn(Schema):
    cedula: str = Field(max_length=40)


class IdentityIn(Schema):
    identity: str = Field(max_length=40)


class IdentityOut(Schema):
    valid: bool
    kind: str
    message: str
    warning: bool = False


class CheckoutIn(Schema):
    plan: str = Field(max_length=32)
    email: EmailStr
    name: str = Field(min_length=1, max_length=120)
    country: str = Field(min_length=2, max_length=2)
    identity_kind: str = Field("", max_length=8)
    identity: str = Field("", max_length=20)
    accept_terms: bool


class ActivationKeyIn(Schema):
    key: str = Field(max_length=120)


class StaffLoginIn(Schema):
    email: EmailStr
    password: str = Field(max_length=200)


class PayIn(Schema):
    enrolment: str = Field(max_length=40)


@router.get("admin/public/health", response=Health)
def get_health(request: Request) -> dict[str, Any]:
    return {"ok": True, "mode": settings.MODE}


@router.get("admin/public/geo/detect", response=Geo)
def get_geo(request: Request) -> dict[str, str]:
    limit(request, "geo", per_minute=30)
    place = detect_country(request)
    return {"country": place.country, "source": place.source}


@router.post("admin/public/validate/ruc", response=IdentityOut)
def check_ruc(request: Request, body: RucIn) -> dict[str, Any]:
    return _verdict(request, validate_ruc(body.ruc))


@router.post("admin/public/validate/cedula", response=IdentityOut)
def check_cedula(request: Request, body: CedulaIn) -> dict[str, Any]:
    return _verdict(request, validate_cedula(body.cedula))


@router.post("admin/public/validate/identity", response=IdentityOut)
def check_identity(request: Request, body: IdentityIn) -> dict[str, Any]:
    return _verdict(request, validate_identity(body.identity))


def _verdict(request: Request, verdict: Verdict) -> dict[str, Any]:
    limit(request, "validate", per_minute=60)
    return {
        "valid": verdict.valid,
        "kind": verdict.kind,
        "message": str(verdict.message),
        "warning": verdict.warning,
    }


@router.post("admin/public/admin/login")
def log_in_staff(request: Request, body: StaffLoginIn) -> dict[str, Any]:
    """Staff sign in for the API. The answer is that of `auth/login`; others are refused as with a wrong password."""
    limit(request, "staff-login", per_minute=10)
    return sign_in_staff(request, email=body.email, password=body.password)


@router.post("admin/public/subscription/create", response={201: dict[str, Any]})
def create_subscription(request: Request, body: CheckoutIn) -> Status[dict[str, Any]]:
    limit(request, "checkout", per_minute=20)
    plan = Plan.objects.filter(pk=body.plan, is_public=True).first()
    if plan is None:
        raise Invalid(_("There is no such plan."), fields={"plan": [_("Choose one of the plans in billing/plans.")]})
    form = CheckoutForm(body.model_dump() | {"terms": body.accept_terms, "token": uuid4().hex})
    if not form.is_valid():
        fields = {name: [str(text) for text in texts] for name, texts in form.errors.items()}
        raise Invalid(_("Some values are not valid."), fields=fields)
    data = form.cleaned_data
    enrolment = checkout.begin(
        plan=plan,
        customer=checkout.Customer(
            email=data["email"],
            name=data["name"],
            country=data["country"],
            identity_kind=data["identity_kind"],
            identity=data["identity"],
        ),
        person=None,
        organisation=None,
        session=request.session,
        token=data["token"],
    )
    remember(request, enrolment)
    remember_address(request, enrolment.user.email)
    return Status(201, _show(enrolment))


@router.post("admin/public/payment/paypal")
def start_paypal(request: Request, body: PayIn) -> dict[str, Any]:
    enrolment = get_enrolment(request, body.enrolment)
    back = f"{settings.PUBLIC_URL}/checkout/{enrolment.public_id}/returned/"
    payment = checkout.start_payment(enrolment, return_url=back, cancel_url=f"{back}?cancelled=1")
    return {
        "order_id": payment.order_ref,
        "approve_url": payment.approve_url,
        "amount": money_json(payment.amount, payment.currency),
    }


@router.post("admin/public/payment/paypal/capture/{order_id}")
def capture_paypal(request: Request, order_id: str) -> dict[str, Any]:
    return _show(checkout.finish_payment(_by_order(request, order_id)))


@router.get("admin/public/payment/paypal/status")
def paypal_status(request: Request, order_id: str) -> dict[str, Any]:
    return _show(_by_order(request, order_id))


def _by_order(request: Request, order_id: str) -> Enrolment:
    found = Enrolment.objects.filter(payment__service="paypal", payment__order_ref=order_id).exclude(payment=None)
    enrolment = found.first()
    if enrolment is None:
        raise NotFound(_("This does not exist, or it is not yours."))
    return get_enrolment(request, enrolment.public_id)


@router.post("admin/public/subscription/activate")
def activate_subscription(request: Request, body: ActivationKeyIn) -> dict[str, Any]:
    limit(request, "activate", per_minute=20)
    return _show(activation.activate(body.key))


@router.get("admin/public/pod/status")
def pod_status(request: Request, x_activation_key: str = Header(max_length=120)) -> dict[str, Any]:  # type: ignore[type-arg]
    """How far the first pod is, for the holder of the activation key."""
    limit(request, "pod-status", per_minute=120)
    return _show(activation.follow_pod(activation.find_by_key(x_activation_key)))


def _show(enrolment: Enrolment) -> dict[str, Any]:
    pod = enrolment.pod
    return {
        "id": enrolment.public_id,
        "plan": enrolment.plan_id,
        "status": enrolment.status,
        "message": enrolment.message,
        "pod": {"id": pod.public_id, "status": pod.status, "phases": activation.phases_of(pod)} if pod else None,
    }
