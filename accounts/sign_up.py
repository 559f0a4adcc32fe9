"""Signing up, confirming an address and resetting a password by API; the pages of the same are allauth's."""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from allauth.account.forms import ResetPasswordForm, UserTokenForm
from allauth.account.internal.flows.email_verification import send_verification_email_to_address
from allauth.account.internal.flows.password_reset import finalize_password_reset
from allauth.account.internal.flows.password_reset import reset_password as set_new_password
from allauth.account.models import EmailAddress, get_emailconfirmation_model
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.people import make_person, tell_sign_up
from lib.errors import AppError, Invalid


def check_your_mail() -> str:
    return _("If this address can be used here, an email is on its way to it.")


def sign_up(request: HttpRequest, *, email: str, password: str, name: str = "") -> None:
    """Make the account and mail the confirmation link. Who has an account gets a mail that says so instead."""
    email = email.lower()
    _check_password(password, User(email=email, name=name))
    address = EmailAddress(user=None, email=email)  # of nobody: allauth then mails that there is an account
    if not EmailAddress.objects.filter(email=email).exists():
        try:
            person, organisation = make_person(email=email, password=password, name=name)
            tell_sign_up(request, person, organisation)
            address = EmailAddress.objects.get_primary(person)
        except IntegrityError:
            pass  # somebody was a moment faster
    send_verification_email_to_address(request, address, signup=True)


def verify_email(request: HttpRequest, *, key: str) -> str:
    """Confirm the address of a mailed key. Raises a 404 for one that is used, too old or unknown."""
    confirmation = get_emailconfirmation_model().from_key(key)
    if confirmation is None or not confirmation.confirm(request):
        raise AppError(_("This link has been used or is too old. Ask for a new one."), code="bad_key", status=404)
    return _("Your address is confirmed. You can sign in.")


def resend_verification(request: HttpRequest, *, email: str) -> None:
    address = EmailAddress.objects.filter(email=email.lower(), verified=False, user__is_active=True).first()
    if address is not None:
        send_verification_email_to_address(request, address)


def send_password_reset(request: HttpRequest, *, email: str) -> None:
    form = ResetPasswordForm({"email": email})
    if form.is_valid():
        form.save(request)


def reset_password(request: HttpRequest, *, key: str, password: str) -> str:
    """Set a new password with a mailed key, `<person>-<token>`. Raises a 404 for a bad key, Invalid for the password."""
    uid, _dash, token = key.partition("-")
    form = UserTokenForm({"uidb36": uid, "key": token})
    if not form.is_valid() or not form.reset_user.is_active:
        raise AppError(_("This link has been used or is too old. Ask for a new one."), code="bad_key", status=404)
    _check_password(password, form.reset_user)
    set_new_password(form.reset_user, password)
    finalize_password_reset(request, form.reset_user)
    return _("Your password has been changed. You can sign in now.")


def _check_password(password: str, person: User) -> None:
    try:
        get_adapter().clean_password(password, user=person)
    except ValidationError as refused:
        raise Invalid(_("This password is too weak."), fields={"password": refused.messages}) from None
