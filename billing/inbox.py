"""Notifications of payment services: checked, stored once, worked on by a task."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction
from django.utils.translation import gettext as _

from billing.models import WebhookEvent
from billing.payments.base import BadSignature, Event, Gone, Refused, ServiceDown
from billing.payments.services import service
from billing.tasks import process_webhook
from lib.errors import AppError

LARGEST = 256 * 1024


def receive(slug: str, headers: Mapping[str, str], raw: bytes) -> WebhookEvent:
    """Store a notification. Raises 400 for one that the service did not send, 503 when it cannot be asked now."""
    if len(raw) > LARGEST:
        raise AppError(_("The notification is too large."), code="too_large", status=413)
    try:
        event = service(slug).parse_event(headers, raw)
    except BadSignature:
        raise AppError(_("This is not signed by the payment service."), code="bad_signature", status=400) from None
    except (Refused, Gone) as refusal:
        raise ServiceDown(str(refusal)) from refusal
    return _store(slug, event)


@transaction.atomic
def _store(slug: str, event: Event) -> WebhookEvent:
    stored, fresh = WebhookEvent.objects.get_or_create(
        service=slug, event_ref=event.ref, defaults={"kind": event.kind, "body": event.body}
    )
    if fresh:
        process_webhook.delay_on_commit(stored.pk)
    return stored
