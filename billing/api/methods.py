"""Routes of saved cards."""

from __future__ import annotations

from typing import Any

from ninja import Router, Schema, Status

from accounts.requests import Request
from billing import access, payment_methods
from billing.models import PaymentMethod
from lib.rate import limit

router = Router(tags=["billing"])


class CardOut(Schema):
    id: str
    service: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    is_default: bool


class CardPage(Schema):
    items: list[CardOut]
    next: str | None = None


class SetupIntentOut(Schema):
    client_secret: str
    publishable_key: str


def show_card(card: PaymentMethod) -> dict[str, Any]:
    names = ("service", "brand", "last4", "exp_month", "exp_year", "is_default")
    return {"id": card.public_id, **{name: getattr(card, name) for name in names}}


@router.get("billing/payment-methods", response=CardPage)
def list_cards(request: Request) -> dict[str, Any]:
    """The organisation's saved cards, the default one at the top."""
    organisation = access.organisation_to_see(request.actor)
    return {"items": [show_card(card) for card in payment_methods.cards_of(organisation)]}


@router.post("billing/setup-intent", response={201: SetupIntentOut})
def begin_setup(request: Request) -> Status[dict[str, str]]:
    """What Stripe.js needs to take a card's number. The card appears in the list once Stripe has it."""
    organisation = access.organisation_to_pay_for(request.actor)
    limit(f"organisation:{organisation.pk}", "billing.setup", per_minute=10)
    return Status(201, payment_methods.begin(organisation))


@router.post("billing/payment-methods/{card_id}/default", response=CardOut)
def choose_default(request: Request, card_id: str) -> dict[str, Any]:
    """Charge renewals and automatic top-ups to this card (`crd_…`)."""
    card = access.get_card(request.actor, card_id)
    payment_methods.choose_default(card, request.actor)
    card.refresh_from_db()
    return show_card(card)


@router.delete("billing/payment-methods/{card_id}", response={204: None})
def remove_card(request: Request, card_id: str) -> Status[None]:
    """Remove a card (`crd_…`); 409 for the one that a plan is renewed with."""
    payment_methods.remove(access.get_card(request.actor, card_id), request.actor)
    return Status(204, None)
