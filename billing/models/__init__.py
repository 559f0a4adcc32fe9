"""Money: accounts and transfers, plans and subscriptions, payments, credits. Only domain modules write here."""

from billing.models.credits import CreditRate
from billing.models.ledger import Account, Currency, Transfer
from billing.models.payments import Payment, WebhookEvent
from billing.models.plans import Plan, Subscription

__all__ = [
    "Account",
    "CreditRate",
    "Currency",
    "Payment",
    "Plan",
    "Subscription",
    "Transfer",
    "WebhookEvent",
]
