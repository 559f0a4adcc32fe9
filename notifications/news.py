"""News that must not be missed: in the page and by mail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django_stubs_ext import StrOrPromise

from accounts.models import Organisation
from accounts.roles import Permission
from notifications.inbox import notify
from notifications.mail import send_to_members


def tell(
    organisation: Organisation,
    *,
    permission: Permission,
    kind: str,
    title: StrOrPromise,
    body: StrOrPromise = "",
    page: str,
    mail: str,
    context: Mapping[str, Any],
) -> None:
    """Tell every member who may see what it is about, in the transaction that changes it.

    `page` is a path of ours, which the template `mail` finds as `url`.
    """
    notify(organisation, kind=kind, title=title, body=body, url=page, permission=permission)
    send_to_members(organisation, permission, mail, {**context, "url": f"{settings.PUBLIC_URL}{page}"})
