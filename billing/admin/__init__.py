"""Money for staff: everything can be seen and searched, nothing is written by hand. What acts calls the domain."""

from billing.admin import (
    chain,
    chargebacks,
    credits,
    disputes,
    invoices,
    ledger,
    methods,
    payments,
    payouts,
    plans,
    referrals,
    refunds,
)

__all__ = [
    "chain",
    "chargebacks",
    "credits",
    "disputes",
    "invoices",
    "ledger",
    "methods",
    "payments",
    "payouts",
    "plans",
    "referrals",
    "refunds",
]
