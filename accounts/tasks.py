"""Tasks of the `work` queue."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.db.models import Q

from accounts.idempotency import forget_old_keys
from accounts.models import ApiSignIn, Invitation
from lib.clock import now

KEYS_KEPT = timedelta(days=1)
ENDED_KEPT = timedelta(days=30)


@shared_task
def forget_expired() -> None:
    """Remove what nothing asks for any more: kept answers, ended sign-ins, invitations that led nowhere."""
    forget_old_keys(older_than=KEYS_KEPT)
    long_ago = now() - ENDED_KEPT
    ApiSignIn.objects.filter(Q(expires_at__lt=long_ago) | Q(revoked_at__lt=long_ago)).delete()
    Invitation.objects.filter(accepted_at=None, expires_at__lt=long_ago).delete()
