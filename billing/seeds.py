"""Plans, credit rates and tax rates of a fresh installation. Running it again adds what is missing and keeps what staff changed."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.translation import gettext_noop as _

from billing.models import CreditRate, Plan, TaxRate

# One credit buys about what one US dollar buys; the GPU rates are rounded medians of published on-demand prices.
RATES = Path(__file__).parent / "data" / "credit_rates.csv"
# Standard rates as the countries publish them; each row names its source, and why there is none where there is none.
TAX_RATES = Path(__file__).parent / "data" / "tax_rates.csv"

PLANS: list[dict[str, Any]] = [
    {
        "slug": "free",
        "name": "Free",
        "price_per_month": Decimal(0),
        "summary": _("Compare every offer and run your first pods."),
        "features": [
            _("1 provider account"),
            _("Price comparison"),
            _("Basic pod management"),
            _("10 compute credits"),
        ],
        "entitlements": {
            "max_providers": 1,
            "max_running_pods": 2,
            "members": 1,
            "api_keys": 2,
            "notifications": False,
            "templates": False,
            "automation": False,
            "advanced_automation": False,
        },
    },
    {
        "slug": "pro",
        "name": "Pro",
        "price_per_month": Decimal(49),
        "summary": _("For people who train and serve every week."),
        "features": [_("3 provider accounts"), _("Automation"), _("Notifications"), _("Templates")],
        "entitlements": {
            "max_providers": 3,
            "max_running_pods": 20,
            "members": 3,
            "api_keys": 20,
            "notifications": True,
            "templates": True,
            "automation": True,
            "advanced_automation": False,
        },
    },
    {
        "slug": "team",
        "name": "Team",
        "price_per_month": Decimal(299),
        "summary": _("For teams that share budgets and machines."),
        "features": [
            _("Unlimited provider accounts"),
            _("Advanced automation"),
            _("Team with roles"),
            _("Everything in Pro"),
        ],
        "entitlements": {
            "max_providers": None,
            "max_running_pods": 200,
            "members": 50,
            "api_keys": 200,
            "notifications": True,
            "templates": True,
            "automation": True,
            "advanced_automation": True,
        },
    },
    {
        "slug": "enterprise",
        "name": "Enterprise",
        "price_per_month": None,
        "summary": _("By contract: your limits, your terms."),
        "features": [_("Everything in Team"), _("Limits by contract"), _("Invoices"), _("Support with a name")],
        "entitlements": {
            "max_providers": None,
            "max_running_pods": None,
            "members": None,
            "api_keys": None,
            "notifications": True,
            "templates": True,
            "automation": True,
            "advanced_automation": True,
        },
    },
]


@transaction.atomic
def seed() -> None:
    for position, columns in enumerate(PLANS):
        Plan.objects.get_or_create(slug=columns["slug"], defaults={**columns, "position": position})
    with RATES.open(newline="") as file:
        for row in csv.DictReader(file):
            # A rate that was in force stays as it was: what was billed by it must be explainable.
            CreditRate.objects.get_or_create(
                resource=row["resource"],
                valid_from=datetime.fromisoformat(row["valid_from"]).replace(tzinfo=UTC),
                defaults={"credits_per_hour": Decimal(row["credits_per_hour"])},
            )
    with TAX_RATES.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            TaxRate.objects.get_or_create(
                country=row["country"],
                valid_from=date.fromisoformat(row["valid_from"]),
                defaults={
                    "name": row["name"],
                    "percent": Decimal(row["percent"]) if row["percent"] else None,
                    "reason": row["reason"],
                    "source": row["source"],
                },
            )
