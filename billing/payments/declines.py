"""Why a card was declined, in the words of a person."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

# Names by which Stripe passes on what the bank says: https://docs.stripe.com/declines/codes. What hints at theft is not
# told to who holds the card.
REASONS: dict[str, StrOrPromise] = {
    "insufficient_funds": _("The card does not have enough money."),
    "expired_card": _("The card has expired."),
    "incorrect_cvc": _("The security code is wrong."),
    "processing_error": _("The bank had a problem. Try again in a moment."),
    "authentication_required": _("The bank wants to see you first: pay on this page, while you are there."),
    "payment_intent_authentication_failure": _("The bank did not get the confirmation that it asked you for."),
    "card_velocity_exceeded": _("The card has reached its limit."),
    "withdrawal_count_limit_exceeded": _("The card has reached its limit."),
    "currency_not_supported": _("The card cannot be charged in US dollars."),
}
DECLINED = _("The bank declined the card, and did not say why. Ask your bank, or use another card.")
CODES = {"declined", "card_declined", "generic_decline", "do_not_honor", "lost_card", "stolen_card", "fraudulent"}


def explain(reason: str) -> StrOrPromise:
    """Empty for what is no refusal of a bank."""
    return REASONS.get(reason, DECLINED if reason in CODES else "")
