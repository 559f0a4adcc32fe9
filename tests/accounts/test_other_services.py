"""Google and GitHub: offered where keys are set; who comes from there gets what everybody gets."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.core.context import request_context
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.internal.flows.login import complete_login
from allauth.socialaccount.models import SocialAccount, SocialLogin
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
from django.test import Client, RequestFactory

from accounts.middleware import actor_of_session
from accounts.models import Member, User
from tests.people import Person


@pytest.fixture
def with_keys(settings: Any) -> None:
    settings.SOCIALACCOUNT_PROVIDERS = {"google": {"APPS": [{"client_id": "id", "secret": "secret"}]}}


@pytest.mark.django_db
def test_no_buttons_without_keys() -> None:
    page = Client().get("/account/login/").content.decode()
    assert "Go on with" not in page


@pytest.mark.django_db
def test_button_leads_to_the_service(with_keys: None) -> None:
    page = Client().get("/account/login/?next=/deploy/").content.decode()
    assert "Continue with Google" in page
    assert "GitHub" not in page
    answer = Client().post("/account/google/login/?process=login&next=%2Fdeploy%2F")
    assert answer["Location"].startswith("https://accounts.google.com/")


def come_from_google(email: str) -> HttpRequest:
    """The person as allauth has read them from the service's answer."""
    request = RequestFactory().get("/account/google/login/callback/")
    request.session = SessionStore()
    request._messages = FallbackStorage(request)  # type: ignore[attr-defined]
    request.user = AnonymousUser()
    address = EmailAddress(email=email, verified=True, primary=True)
    account = SocialAccount(provider="google", uid="1", extra_data={"name": "Ana"})
    with request_context(request):
        google = get_adapter().get_provider(request, "google")
        person = User(email=email, name="Ana")
        complete_login(request, SocialLogin(person, account, email_addresses=[address], provider=google))
    return request


@pytest.mark.django_db
def test_newcomer_owns_an_organisation_and_is_signed_in(with_keys: None) -> None:
    request = come_from_google("ana@example.com")
    person = User.objects.get()
    assert not person.has_usable_password()
    assert Member.objects.get(user=person).organisation.name == "Ana"
    assert actor_of_session(request.user, request.session).user == person


def test_known_address_is_not_taken_over(with_keys: None, owner: Person) -> None:
    come_from_google(owner.user.email)
    assert not SocialAccount.objects.exists()
    assert User.objects.count() == 1
