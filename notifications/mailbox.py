"""The sandbox mailbox: everybody reads the mail to their own addresses, and nobody another's.

Signed in: the addresses that the person confirmed. Before that: those which this browser was the first to sign up
with. Typing somebody's address into a form gives nothing, since a known address is not handed out a second time.

One exception, for an installation that only its own machine can reach: who asks there for a new password in another
browser may read that one message, once. Whoever sits at the machine owns the installation.
"""

from __future__ import annotations

import ipaddress

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.models import Organisation, User
from accounts.people import is_confirmed
from lib import secrets
from lib.ids import decode_id
from lib.rate import client_address
from notifications.models import Mail, SandboxMailbox
from notifications.states import MailStatus

SESSION_KEY = "sandbox_mailbox"
ASKED_KEY = "sandbox_mail_asked"


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


def own_mail(request: HttpRequest) -> QuerySet[Mail]:
    return _kept().filter(to__in=own_addresses(request)).order_by("-pk")


def remember_asked_mail(request: HttpRequest, email: str) -> None:
    """Called when somebody has asked for a new password (settings.ON_PASSWORD_ASKED)."""
    if settings.SANDBOX and is_at_the_machine(request):
        newest = _kept().filter(to=email.lower()).order_by("-pk").first()
        request.session[ASKED_KEY] = newest.public_id if newest else ""


def has_asked_mail(request: HttpRequest) -> bool:
    return bool(request.session.get(ASKED_KEY))


def take_asked_mail(request: HttpRequest) -> list[Mail]:
    """The message that this browser asked for; a second time there is none."""
    asked = request.session.pop(ASKED_KEY, "")
    return list(_kept().filter(pk=decode_id("mail", asked))) if asked else []


def _kept() -> QuerySet[Mail]:
    """What goes to a mail service is read there."""
    return Mail.objects.filter(status=MailStatus.KEPT)


def is_at_the_machine(request: HttpRequest) -> bool:
    """Not through any proxy, and the address that people see is this machine's own."""
    if settings.BEHIND_PROXY or "X-Forwarded-For" in request.headers:
        return False
    return _is_loopback(settings.PUBLIC_HOST) and _is_loopback(client_address(request))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _holder(request: HttpRequest) -> str:
    token = request.session.get(SESSION_KEY, "")
    return secrets.hash_token(token) if token else ""
