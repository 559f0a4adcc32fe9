"""The staff: groups with their permissions, and the first member, who may do everything."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.auth.models import Permission as DjangoPermission
from django.db import transaction

from accounts.models import User
from accounts.roles import STAFF_CHANGES, STAFF_SEES, StaffGroup
from lib.secrets import read_or_make_secret

STAFF_EMAIL = "staff@gpubroker.example"
CHANGING = ("add", "change", "delete")


def seed() -> None:
    with transaction.atomic():
        for name in StaffGroup.values:
            group, _made = Group.objects.get_or_create(name=name)
            group.permissions.set(_permissions(STAFF_SEES[name], STAFF_CHANGES[name]))
        _make_first_staff()


def _permissions(seen: frozenset[str], changed: frozenset[str]) -> list[DjangoPermission]:
    rows = DjangoPermission.objects.filter(content_type__app_label__in=seen).select_related("content_type")
    return [row for row in rows if row.codename.startswith("view_") or _is_change(row, changed)]


def _is_change(row: DjangoPermission, changed: frozenset[str]) -> bool:
    return row.content_type.app_label in changed and row.codename.partition("_")[0] in CHANGING


def _make_first_staff() -> None:
    """Once: a password or an address that was changed afterwards stays as it is."""
    if User.objects.filter(is_superuser=True).exists():
        return
    password = read_or_make_secret(settings.SECRETS_DIR / "staff_password")
    person = User.objects.create_superuser(STAFF_EMAIL, password, name="Staff")
    EmailAddress.objects.create(user=person, email=person.email, primary=True, verified=True)
