"""allauth, fitted in: our mail, our organisations, our second-factor secrets sealed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context as allauth_context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.module_loading import import_string

from accounts.models import User
from accounts.people import after_confirmation, welcome
from lib import mail, secrets

# What a session keeps when its person signs out: it proves nothing about them, only about this browser.
KEPT_AT_SIGN_OUT = ("sandbox_mailbox",)
# Whether there is an account or not: what follows must not tell.
PASSWORD_ASKED = {"account/email/password_reset_key", "account/email/unknown_account"}
SITE = SimpleNamespace(name="GPUBroker", domain=settings.PUBLIC_HOST)


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        request = allauth_context.request
        mail.send(email, template_prefix, {"request": request, "email": email, "current_site": SITE, **context})
        if template_prefix in PASSWORD_ASKED:
            for path in settings.ON_PASSWORD_ASKED:
                import_string(path)(request, email)

    def confirm_email(self, request: HttpRequest, email_address: Any) -> bool:
        with transaction.atomic():
            confirmed: bool = super().confirm_email(request, email_address)
            if confirmed:
                after_confirmation(email_address.user)
        return confirmed

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        if kwargs["signup"]:
            # Invited people and those who come from Google or GitHub have a confirmed address from the start.
            after_confirmation(user)
        answer: HttpResponse = super().post_login(request, user, **kwargs)
        return answer

    def logout(self, request: HttpRequest) -> None:
        kept = {name: request.session[name] for name in KEPT_AT_SIGN_OUT if name in request.session}
        super().logout(request)
        request.session.update(kept)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("accounts:security")


class SocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # allauth has no types
    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> User:
        with transaction.atomic():
            person: User = super().save_user(request, sociallogin, form)
            welcome(person, request)
        return person

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> User:
        person: User = super().populate_user(request, sociallogin, data)
        whole = data.get("name") or f"{data.get('first_name') or ''} {data.get('last_name') or ''}"
        person.name = whole.strip()[:120]
        return person


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth has no types
    """The secrets of authenticator apps and the seeds of recovery codes are sealed like other secrets of customers."""

    def encrypt(self, text: str) -> str:
        return secrets.seal(text).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return secrets.unseal(encrypted_text.encode())
