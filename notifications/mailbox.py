"""The sandbox mailbox: everybody reads the mail to their own addresses, and nobody another's.

Signed in: the addresses that the person confirmed. Before that: those which this browser was the first to sign up
with. Typing somebody's address into a form gives nothing, since a known address is not handed out a second time.
"""

from __future__ import annotations

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.models import Organisation, User
from accounts.people import is_confirmed
from lib import secrets
from notifications.models import SandboxMail, SandboxMailbox

SESSION_KEY = "sandbox_mailbox"


def remember_address(request: HttpRequest, email: str) -> None:
    """Let this browser read the mail to an address that it has just signed up or paid with, if nobody had it before."""
    email = email.lower()
    if not settings.SANDBOX or any(is_confirmed(person) for person in User.objects.filter(email=email)):
        return
    if SESSION_KEY not in request.session:
        request.session[SESSION_KEY] = secrets.new_token("box")
    SandboxMailbox.objects.get_or_create(address=email, defaults={"holder_hash": _holder(request)})


def remember_new_person(*, request: HttpRequest, person: User, organisation: Organisation) -> None:
    """Called at sign-up (settings.ON_SIGN_UP)."""
    remember_address(request, person.email)


def own_addresses(request: HttpRequest) -> list[str]:
    if isinstance(request.user, User):
        confirmed = EmailAddress.objects.filter(user=request.user, verified=True)
        return sorted(confirmed.values_list("email", flat=True))
    if not (holder := _holder(request)):
        return []
    return sorted(SandboxMailbox.objects.filter(holder_hash=holder).values_list("address", flat=True))


def own_mail(request: HttpRequest) -> QuerySet[SandboxMail]:
    return SandboxMail.objects.filter(to__in=own_addresses(request)).order_by("-pk")


def _holder(request: HttpRequest) -> str:
    token = request.session.get(SESSION_KEY, "")
    return secrets.hash_token(token) if token else ""
