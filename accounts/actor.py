"""Actor: who does something. One value everywhere, kept by the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from accounts.models import ApiKey, User
from accounts.roles import Permission

ActorKind = Literal["user", "api_key", "staff", "node", "worker", "anonymous"]


@dataclass(frozen=True, slots=True)
class Actor:
    """`organisation_id` is the one that the request chose; `scopes` narrows what an API key may do (None: no limit)."""

    kind: ActorKind
    id: str = ""
    user: User | None = None
    organisation_id: UUID | None = None
    scopes: frozenset[Permission] | None = None
    label: str = ""

    @property
    def is_staff(self) -> bool:
        return self.kind == "staff" or bool(self.user and self.user.is_staff and self.kind == "user")


ANONYMOUS = Actor(kind="anonymous")


def worker(name: str) -> Actor:
    """Our own background work, such as `worker("pods.reconcile")`."""
    return Actor(kind="worker", id=name)


def node(node_id: UUID) -> Actor:
    return Actor(kind="node", id=str(node_id))


def user(person: User, *, organisation_id: UUID | None = None) -> Actor:
    return Actor(kind="user", id=str(person.pk), user=person, organisation_id=organisation_id, label=person.email)


def staff(person: User, *, organisation_id: UUID | None = None) -> Actor:
    """A member of staff: working for one customer when that one is named, else in the console."""
    return Actor(kind="staff", id=str(person.pk), user=person, organisation_id=organisation_id, label=person.email)


def api_key(key: ApiKey) -> Actor:
    return Actor(
        kind="api_key",
        id=str(key.pk),
        user=key.created_by,
        organisation_id=key.organisation_id,
        scopes=frozenset(Permission(scope) for scope in key.scopes),
        label=key.name,
    )
