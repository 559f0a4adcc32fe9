"""News is told in the page and by mail to the same people, each in their language."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy

from accounts.models import Organisation
from accounts.roles import Permission
from notifications.models import Notification
from notifications.news import tell
from tests.people import Person


def test_the_same_people_by_both_ways(
    organisation: Organisation,
    owner: Person,
    admin: Person,
    billing_member: Person,
    member: Person,
    outsider: Person,
    mailoutbox: list[Any],
) -> None:
    owner.user.locale = "es"
    owner.user.save()
    billing_member.user.is_active = False
    billing_member.user.save()
    tell(
        organisation,
        permission=Permission.SEE_BILLING,
        kind="subscription.plan_ended",
        title=gettext_lazy("Your plan has ended; you are on Free now"),
        page="/billing/plan/",
        mail="billing/mail/plan_ended",
        context={"plan": "Pro"},
    )
    readers = {admin.user.email, owner.user.email}
    assert {row.user.email for row in Notification.objects.select_related("user")} == readers
    mails = {mail.to[0]: mail for mail in mailoutbox}
    assert mails.keys() == readers
    assert mails[admin.user.email].subject == "Your GPUBroker plan has ended"
    assert "Su plan" in mails[owner.user.email].subject
    assert all("/billing/plan/" in mail.body for mail in mailoutbox)
