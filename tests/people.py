"""The fixed cast of all tests: one organisation with a member of each role, somebody from elsewhere, and staff.

Models are imported inside: Django is not set up yet when this module loads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

if TYPE_CHECKING:
    from accounts.actor import Actor
    from accounts.models import Organisation, User

PASSWORD = "correct horse battery"
API = "/api/v2/"


@dataclass
class Caller:
    """Nobody in particular: pages by `client`, the API by `api`."""

    client: Client = field(default_factory=Client)

    @property
    def headers(self) -> dict[str, str]:
        return {}

    def api(self, method: str, route: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """Call `/api/v2/<route>` as a program would: no cookies, JSON in, the response with `.json()` out."""
        data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        call = getattr(Client(), method.lower())
        return call(API + route, headers={**self.headers, **(headers or {})}, **data)


@dataclass
class Person(Caller):
    """Signed in to pages by a session, and to the API by a bearer token in their organisation."""

    user: User = None  # type: ignore[assignment]  # always given
    organisation: Organisation | None = None

    def __post_init__(self) -> None:
        self.client.force_login(self.user, backend="django.contrib.auth.backends.ModelBackend")

    @cached_property
    def access_token(self) -> str:
        from accounts import tokens

        return str(tokens.issue(self.user)["access"])

    @property
    def headers(self) -> dict[str, str]:
        chosen = {"X-Organisation": self.organisation.public_id} if self.organisation else {}
        return {"Authorization": f"Bearer {self.access_token}", **chosen}

    @property
    def actor(self) -> Actor:
        from accounts import actor

        return actor.user(self.user, organisation_id=self.organisation.pk if self.organisation else None)


def make_user(email: str, **fields: Any) -> User:
    """Somebody with a password and a confirmed address, and in no organisation."""
    from allauth.account.models import EmailAddress

    from accounts.models import User

    user = User.objects.create_user(email, PASSWORD, **fields)
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    return user


def join(organisation: Organisation, email: str, role: str) -> Person:
    from accounts.models import Member

    user = make_user(email, name=role.capitalize())
    Member.objects.create(organisation=organisation, user=user, role=role)
    return Person(user=user, organisation=organisation)


def make_organisation(name: str) -> Organisation:
    from accounts.models import Organisation

    return Organisation.objects.create(name=name)


@pytest.fixture
def organisation(db: None) -> Organisation:
    return make_organisation("Andes Vision")


@pytest.fixture
def owner(organisation: Organisation) -> Person:
    return join(organisation, "owner@andes.example", "owner")


@pytest.fixture
def admin(organisation: Organisation) -> Person:
    return join(organisation, "admin@andes.example", "admin")


@pytest.fixture
def member(organisation: Organisation) -> Person:
    """A developer."""
    return join(organisation, "developer@andes.example", "developer")


@pytest.fixture
def billing_member(organisation: Organisation) -> Person:
    return join(organisation, "billing@andes.example", "billing")


@pytest.fixture
def viewer(organisation: Organisation) -> Person:
    return join(organisation, "viewer@andes.example", "viewer")


@pytest.fixture
def outsider(db: None) -> Person:
    """The owner of another organisation."""
    return join(make_organisation("Elsewhere"), "outsider@elsewhere.example", "owner")


@pytest.fixture
def staff(db: None) -> Person:
    """A superuser in no organisation."""
    return Person(user=make_user("staff@gpubroker.example", is_staff=True, is_superuser=True))


@pytest.fixture
def anonymous(db: None) -> Caller:
    return Caller()


def give_team_plan(organisation: Organisation) -> None:
    """Room for members and keys: without a plan, the limits of Free hold."""
    from datetime import timedelta

    from billing import seeds
    from billing.models import Plan, Subscription
    from lib.clock import now

    seeds.seed()
    Subscription.objects.create(
        organisation=organisation,
        plan=Plan.objects.get(pk="team"),
        status="active",
        period_start=now(),
        period_end=now() + timedelta(days=30),
    )


@pytest.fixture
def team_plan(organisation: Organisation) -> None:
    give_team_plan(organisation)
