"""Making people, with the organisation that each new one gets, and confirming their addresses."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from accounts import actor as actors
from accounts import audit
from accounts.invitations import accept_at_sign_up
from accounts.models import Member, Organisation, User
from accounts.roles import Role
from lib.errors import AppError


def make_person(*, email: str, password: str | None = None, name: str = "") -> tuple[User, Organisation]:
    """A new person with an unconfirmed address, as owner of a new organisation. Raises IntegrityError when known."""
    with transaction.atomic():
        person = User.objects.create_user(email, password, name=name)
        EmailAddress.objects.create(user=person, email=person.email, primary=True, verified=False)
        return person, make_organisation(person)


def make_organisation(owner: User, name: str = "") -> Organisation:
    with transaction.atomic():
        organisation = Organisation.objects.create(name=name or owner.name or owner.email.partition("@")[0])
        Member.objects.create(organisation=organisation, user=owner, role=Role.OWNER)
        audit.record(organisation.pk, actors.user(owner), "organisation.create", organisation)
    return organisation


def welcome(person: User, request: HttpRequest) -> Organisation:
    """Somebody has just signed up: they join whoever invited them here, or get an organisation of their own."""
    with transaction.atomic():
        organisation = accept_at_sign_up(person, request.session) or make_organisation(person)
        tell_sign_up(request, person, organisation)
    return organisation


def tell_sign_up(request: HttpRequest, person: User, organisation: Organisation) -> None:
    """Other parts follow a sign-up, on pages and by API, through settings.ON_SIGN_UP."""
    for path in settings.ON_SIGN_UP:
        import_string(path)(request=request, person=person, organisation=organisation)


def join_or_make_person(*, email: str, name: str) -> tuple[User, Organisation]:
    """The person of a checkout. One who has confirmed this address, or has a password, must sign in first: 409."""
    person = User.objects.filter(email=email.lower()).first()
    if person is None:
        return make_person(email=email, name=name)
    organisation = owned_organisations(person).first()
    if person.has_usable_password() or is_confirmed(person) or organisation is None or not person.is_active:
        message = _("There is an account with this address. Sign in to go on.")
        raise AppError(message, code="sign_in_first", status=409, fields={"email": [message]})
    return person, organisation


def owned_organisations(person: User) -> QuerySet[Organisation]:
    owned = Organisation.objects.filter(memberships__user=person, memberships__role=Role.OWNER, archived_at=None)
    return owned.order_by("pk")


def is_confirmed(person: User) -> bool:
    return bool(EmailAddress.objects.filter(user=person, verified=True).exists())


def confirm_email(person: User) -> None:
    """What only came by mail was shown to us: the primary address works. Safe to call again."""
    with transaction.atomic():
        address, _made = EmailAddress.objects.get_or_create(
            user=person, email=person.email, defaults={"primary": True, "verified": True}
        )
        if not address.verified:
            address.verified = True
            address.save(update_fields=["verified"])
        after_confirmation(person)


def after_confirmation(person: User) -> None:
    """Tell the other parts that this person's address is known to work. Each of them is safe to tell again."""
    with transaction.atomic():
        # The oldest one only: what is given to newcomers is not given once more for each organisation they make.
        if organisation := owned_organisations(person).first():
            for path in settings.ON_EMAIL_CONFIRMED:
                import_string(path)(organisation)
