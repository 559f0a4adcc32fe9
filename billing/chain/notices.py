"""What those who look after an organisation's money are told: in the page and by mail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.urls import reverse
from django_stubs_ext import StrOrPromise

from accounts.models import Organisation, User
from accounts.roles import ROLE_PERMISSIONS, Permission
from notifications.inbox import notify
from notifications.mail import send

READERS = [role for role, granted in ROLE_PERMISSIONS.items() if Permission.MANAGE_BILLING in granted]


def tell(
    organisation: Organisation,
    *,
    kind: str,
    title: StrOrPromise,
    body: str,
    mail: str,
    context: Mapping[str, Any],
    page: str = "billing:usdc",
) -> None:
    """In the caller's transaction: the wait of a new address is worth something only to who knows of it."""
    url = reverse(page)
    notify(organisation, kind=kind, title=title, body=body, url=url, permission=Permission.SEE_BILLING)
    readers = User.objects.filter(memberships__organisation=organisation, memberships__role__in=READERS, is_active=True)
    for address in sorted(set(readers.values_list("email", flat=True))):
        send(address, f"billing/mail/{mail}", {**context, "url": settings.PUBLIC_URL + url})
