"""The mailed key opens the account once and starts the first pod."""

from __future__ import annotations

from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts import actor as actors
from accounts.people import confirm_email
from enrollment.checkout import send_key
from enrollment.lifecycle import switch_enrolment
from enrollment.models import Enrolment
from enrollment.states import EnrolmentStatus
from lib import secrets
from lib.clock import now
from lib.errors import AppError
from pods.configs import create_config
from pods.deploy import deploy
from pods.models import Payer, Pod, PodConfig, PodTemplate
from pods.states import PodStatus

STARTER_TEMPLATE = "count"


def find_by_key(key: str) -> Enrolment:
    """The enrolment that this key belongs to, activated or not. Raises 404."""
    found = Enrolment.objects.filter(key_hash=secrets.hash_token(key.strip())).exclude(key_hash="").first()
    if found is None:
        raise AppError(
            _("This activation key is unknown. Copy all of it from the newest email."),
            code="bad_key",
            status=404,
            fields={"key": [_("Unknown activation key.")]},
        )
    return found


def activate(key: str) -> Enrolment:
    """Confirm the mail address, give the credits and start the first pod. A used key answers 409, an old one 410."""
    enrolment = find_by_key(key)
    if enrolment.status != EnrolmentStatus.PAID:
        raise AppError(_("This key has already been used. Sign in instead."), code="key_used", status=409)
    if enrolment.key_expires_at and enrolment.key_expires_at < now():
        send_key(enrolment)
        raise AppError(_("This key has expired. We have just emailed you a new one."), code="key_expired", status=410)
    with transaction.atomic():
        if not switch_enrolment(enrolment, EnrolmentStatus.ACTIVATED, activated_at=now()):
            raise AppError(_("This key has already been used. Sign in instead."), code="key_used", status=409)
        confirm_email(enrolment.user)
    start_first_pod(enrolment)
    return enrolment


def start_first_pod(enrolment: Enrolment) -> None:
    """Deploy the draft, or the starter template. A refusal is kept for the person to read; nothing is lost."""
    actor = actors.user(enrolment.user, organisation_id=enrolment.organisation_id)
    config = enrolment.config or _starter_config(enrolment)
    try:
        pod = deploy(
            organisation=enrolment.organisation,
            config=config,
            offer=config.offer,
            actor=actor,
            idempotency_key=f"enrolment-{enrolment.pk}",
        )
    except AppError as refusal:
        switch_enrolment(enrolment, EnrolmentStatus.FAILED, message=refusal.message[:500], config=config)
        return
    switch_enrolment(enrolment, EnrolmentStatus.PROVISIONING, pod=pod, config=config, message="")


def follow_pod(enrolment: Enrolment) -> Enrolment:
    """Bring the enrolment up to its pod: ready when the pod was reached, failed with its reason."""
    pod = enrolment.pod
    if pod is None or enrolment.status not in {EnrolmentStatus.PROVISIONING, EnrolmentStatus.FAILED}:
        return enrolment
    if pod.first_running_at is not None:
        switch_enrolment(enrolment, EnrolmentStatus.READY, message="")
    elif pod.status in {PodStatus.FAILED, PodStatus.TERMINATED}:
        switch_enrolment(enrolment, EnrolmentStatus.FAILED, message=pod.message or pod.get_reason_display())
    return enrolment


def newest_enrolment(pod_or_user: Q) -> Enrolment | None:
    return Enrolment.objects.filter(pod_or_user).select_related("pod", "plan", "payment").order_by("-pk").first()


def _starter_config(enrolment: Enrolment) -> PodConfig:
    """The smallest pod on our own nodes, paid from the sign-up credits."""
    template = PodTemplate.objects.get(pk=STARTER_TEMPLATE)
    return create_config(
        organisation=enrolment.organisation,
        actor=actors.user(enrolment.user),
        name="first-pod",
        template=template,
        command=template.command,
        image=template.image,
        gpu_query="cpu",
        disk_gb=1,
        payer=Payer.CREDITS,
        max_price_per_hour=Decimal("1") if settings.SANDBOX else None,
    )


def phases_of(pod: Pod) -> list[str]:
    """Phases that the pod's present placement has gone through, for public status answers."""
    placement = pod.placements.order_by("-epoch", "-attempt").first()
    return [placement.phase] if placement and placement.phase else []
