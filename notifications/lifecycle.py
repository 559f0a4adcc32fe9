"""The only writer of the status of a mail: compare-and-set, guarded by the lease under which it was read."""

from __future__ import annotations

from typing import Any

from notifications.models import Mail
from notifications.states import MAIL_TRANSITIONS


class WrongTransition(Exception):
    """The table of states does not allow this change."""


def switch_mail(mail: Mail, to: str, **columns: Any) -> bool:
    """Change the status, with `columns`, and give the row back; False when it is somebody else's by now."""
    if to not in MAIL_TRANSITIONS[mail.status]:
        raise WrongTransition(f"mail {mail.status} → {to}")
    same = Mail.objects.filter(pk=mail.pk, status=mail.status, lease_token=mail.lease_token)
    if not same.update(status=to, lease_token=None, lease_until=None, **columns):
        return False
    mail.refresh_from_db()
    return True
