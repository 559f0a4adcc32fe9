"""The test cards that Stripe documents (https://docs.stripe.com/testing), and what each of them does."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from sandbox.store import Document
from sandbox.stripe.errors import Declined


@dataclass(frozen=True, slots=True)
class Refusal:
    code: str
    decline_code: str
    message: str

    def problem(self, **more: Any) -> Declined:
        return Declined(self.message, code=self.code, decline_code=self.decline_code, **more)

    def as_error(self) -> Document:
        """As in `last_payment_error`."""
        return dict(self.problem().error)


GENERIC = Refusal("card_declined", "generic_decline", "Your card was declined.")
POOR = Refusal("card_declined", "insufficient_funds", "Your card has insufficient funds.")
LOST = Refusal("card_declined", "lost_card", "Your card was declined.")
STOLEN = Refusal("card_declined", "stolen_card", "Your card was declined.")
EXPIRED = Refusal("expired_card", "", "Your card has expired.")
WRONG_CVC = Refusal("incorrect_cvc", "", "Your card's security code is incorrect.")
BROKEN = Refusal("processing_error", "", "An error occurred while processing your card. Try again in a little bit.")
LIVE_CARD = Refusal(
    "card_declined",
    "test_mode_live_card",
    "Your card was declined. Your request was in test mode, but used a non test card. For a list of valid test cards, "
    "visit: https://stripe.com/docs/testing.",
)
NEEDS_PAYER = Refusal(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)
NOT_AUTHENTICATED = (
    "We are unable to authenticate your payment method. Please choose a different payment method and try again."
)


@dataclass(frozen=True, slots=True)
class Card:
    """`attachable`: may be stored though each charge is refused. `authenticate`: "always", or "setup": until set up."""

    number: str
    ids: tuple[str, ...]
    brand: str = "visa"
    refusal: Refusal | None = None
    attachable: bool = False
    authenticate: str = ""
    dispute: str = ""
    refund: str = ""


CARDS = (
    Card("4242424242424242", ("visa",)),
    Card("4000056655665556", ("visa_debit",)),
    Card("5555555555554444", ("mastercard",), "mastercard"),
    Card("378282246310005", ("amex",), "amex"),
    Card("4000000000000077", ("bypassPending",)),
    Card("4000000000000002", ("chargeDeclined", "visa_chargeDeclined"), refusal=GENERIC),
    Card(
        "4000000000009995",
        ("chargeDeclinedInsufficientFunds", "visa_chargeDeclinedInsufficientFunds"),
        refusal=POOR,
    ),
    Card("4000000000009987", ("chargeDeclinedLostCard", "visa_chargeDeclinedLostCard"), refusal=LOST),
    Card("4000000000009979", ("chargeDeclinedStolenCard", "visa_chargeDeclinedStolenCard"), refusal=STOLEN),
    Card("4000000000000069", ("chargeDeclinedExpiredCard",), refusal=EXPIRED),
    Card("4000000000000127", ("chargeDeclinedIncorrectCvc",), refusal=WRONG_CVC),
    Card("4000000000000119", ("chargeDeclinedProcessingError",), refusal=BROKEN),
    Card("4000000000000341", ("chargeCustomerFail",), refusal=GENERIC, attachable=True),
    Card("4000002500003155", ("authenticationRequiredOnSetup",), authenticate="setup"),
    Card("4000002760003184", ("authenticationRequired",), authenticate="always"),
    Card("4000000000000259", ("createDispute",), dispute="fraudulent"),
    Card("4000000000002685", ("createDisputeProductNotReceived",), dispute="product_not_received"),
    Card("4000000000007726", ("pendingRefund",), refund="pending"),
    Card("4000000000005126", ("refundFail",), refund="failed"),
)
BY_NUMBER = {card.number: card for card in CARDS}
BY_ID = {id: card for card in CARDS for id in card.ids}


def named(id: str) -> Card | None:
    """The card of `pm_card_visa`, `tok_visa` and their like."""
    for prefix in ("pm_card_", "tok_"):
        if id.startswith(prefix):
            return BY_ID.get(id.removeprefix(prefix))
    return None


def of(method: Document) -> Card:
    return BY_NUMBER[method["_number"]]


def read_number(number: str) -> Card:
    """The test card with this number. Raises Declined as Stripe does for numbers that are none, and for real cards."""
    digits = number.replace(" ", "").replace("-", "")
    if not digits.isdigit() or not 12 <= len(digits) <= 19 or not _luhn(digits):
        raise Declined("Your card number is incorrect.", code="incorrect_number", param="number")
    if digits not in BY_NUMBER:
        raise LIVE_CARD.problem()
    return BY_NUMBER[digits]


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def fingerprint(number: str) -> str:
    """The same for each payment method that is made of the same card."""
    return hashlib.sha256(b"sandbox card " + number.encode()).hexdigest()[:16]


def needs_payer(method: Document, *, off_session: bool) -> bool:
    """Whether the payer must confirm a charge. A card that was set up for it needs nobody when nobody is there."""
    kind = of(method).authenticate
    return kind == "always" or (kind == "setup" and not (off_session and method["_set_up"]))
