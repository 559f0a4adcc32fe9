"""People made at checkout, and what is forgotten with time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress

from accounts import tokens
from accounts.models import ApiSignIn, IdempotencyKey, Invitation, Organisation
from accounts.people import confirm_email, is_confirmed, join_or_make_person, make_organisation
from accounts.tasks import forget_expired
from lib.clock import now
from lib.errors import AppError
from tests.people import Person

told: list[Organisation] = []


def hear(organisation: Organisation) -> None:
    told.append(organisation)


@pytest.mark.django_db
def test_checkout_finds_the_person_it_made() -> None:
    first = join_or_make_person(email="Ana@Example.com", name="Ana")
    assert join_or_make_person(email="ana@example.com", name="Other") == first
    assert not first[0].has_usable_password()


@pytest.mark.django_db
def test_confirmed_person_must_sign_in() -> None:
    person, _organisation = join_or_make_person(email="ana@example.com", name="Ana")
    confirm_email(person)
    with pytest.raises(AppError) as refused:
        join_or_make_person(email="ana@example.com", name="Ana")
    assert (refused.value.status, refused.value.code) == (409, "sign_in_first")


def test_person_with_a_password_must_sign_in(owner: Person) -> None:
    EmailAddress.objects.update(verified=False)
    with pytest.raises(AppError):
        join_or_make_person(email=owner.user.email, name="x")


@pytest.mark.django_db
def test_confirming_tells_the_oldest_organisation_only(settings: Any) -> None:
    settings.ON_EMAIL_CONFIRMED = [f"{__name__}.hear"]
    told.clear()
    person, organisation = join_or_make_person(email="ana@example.com", name="Ana")
    make_organisation(person, "Second")
    confirm_email(person)
    assert is_confirmed(person)
    assert told == [organisation]


def test_expired_things_are_forgotten(owner: Person, organisation: Organisation) -> None:
    long_ago = now() - timedelta(days=31)
    old, new = tokens.issue(owner.user), tokens.issue(owner.user)
    ApiSignIn.objects.filter(pk=tokens.sign_in_of(old["access"]).pk).update(revoked_at=long_ago)
    for key, at in (("old", now() - timedelta(days=2)), ("new", now())):
        IdempotencyKey.objects.create(organisation=organisation, key=key, route="POST /", body_hash="", created_at=at)
    for token, expires_at in (("a", long_ago), ("b", now())):
        Invitation.objects.create(
            organisation=organisation,
            email=f"{token}@example.com",
            role="viewer",
            token_hash=token,
            expires_at=expires_at,
        )
    forget_expired()
    assert [row.pk for row in ApiSignIn.objects.all()] == [tokens.sign_in_of(new["access"]).pk]
    assert IdempotencyKey.objects.get().key == "new"
    assert Invitation.objects.get().token_hash == "b"
