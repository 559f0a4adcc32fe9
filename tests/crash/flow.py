"""What a flow has to say to be killed everywhere, and the acts that flows share."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import uuid4

from accounts import actor as actors
from accounts.actor import Actor
from accounts.models import Member, Organisation
from billing import payment_methods
from billing.models import Payment, PaymentMethod
from billing.payments.services import stripe
from lib.ids import decode_id
from notifications.models import Mail, Notification
from tests.billing.stripe import GOOD, add_card
from tests.people import Caller, Person, make_organisation, make_user

Facts = dict[str, Any]  # as JSON: another process reads them


class Flow:
    """`prepare` runs before, `act` is what dies and is repeated, `check` says what there has to be in the end."""

    name: ClassVar[str]
    peers: ClassVar[tuple[str, ...]] = ()
    # Whether people ask for it, who may ask again before a worker has looked. What workers do is repeated by the next.
    is_asked_for = True

    def set_up(self) -> None:
        """Once, before its first run: its peers are empty."""

    def prepare(self) -> Facts:
        raise NotImplementedError

    def act(self, facts: Facts) -> None:
        raise NotImplementedError

    def work(self, facts: Facts) -> None:
        """What workers do for it besides what they do each minute for all payments."""

    def check(self, facts: Facts) -> None:
        raise NotImplementedError


class Customer(Person):
    """Uses the API alone: signing in to pages takes longer than all else of being made."""

    def __post_init__(self) -> None:
        """Nothing."""


def customer() -> tuple[Person, Facts]:
    """Somebody new, and what another process needs to act for them."""
    organisation = make_organisation("Crash")
    user = make_user(f"{uuid4().hex}@crash.example", name="Owner")
    Member.objects.create(organisation=organisation, user=user, role="owner")
    person = Customer(user=user, organisation=organisation)
    return person, {"headers": person.headers, "organisation": str(organisation.pk), "key": uuid4().hex}


def customer_with_card() -> tuple[Person, Facts]:
    person, facts = customer()
    return person, {**facts, "card": save_card(person).public_id}


def save_card(person: Person) -> PaymentMethod:
    assert person.organisation is not None
    ref = add_card(payment_methods.customer_of(person.organisation), GOOD)
    payment_methods.refresh(person.organisation)
    return PaymentMethod.objects.get(ref=ref)


def ask(facts: Facts, route: str, body: Any, key: str = "") -> Any:
    """A request to the API; with the flow's key it is the same one each time."""
    answer = Caller().api("post", route, body, {**facts["headers"], "Idempotency-Key": key or facts["key"]})
    assert answer.status_code in {200, 201}, answer.content
    return answer.json()


def payment_in(answer: Any) -> Payment:
    return Payment.objects.get(pk=decode_id("pay", answer["id"]))


def organisation_of(facts: Facts) -> Organisation:
    return Organisation.objects.get(pk=facts["organisation"])


def worker() -> Actor:
    return actors.worker("crash")


def charges_of(organisation: Organisation) -> list[Any]:
    """What Stripe has taken from their cards."""
    wanted: Any = {"customer": payment_methods.customer_of(organisation), "limit": 100}
    return [charge for charge in stripe()._api.charges.list(wanted).data if charge.paid]


def told(organisation: Organisation) -> list[str]:
    """Of what its owner was told: each notice as often as there is one."""
    return list(Notification.objects.filter(organisation=organisation).order_by("pk").values_list("kind", flat=True))


def mailed(organisation: Organisation) -> list[str]:
    """The subjects of what its owner was mailed."""
    [owner] = organisation.members.all()
    return list(Mail.objects.filter(to=owner.email).order_by("pk").values_list("subject", flat=True))
