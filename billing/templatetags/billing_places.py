"""`{% billing_places %}`: the pages of billing, above each of them."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

register = template.Library()
PLACES = {
    "billing:home": _("Overview"),
    "billing:plan": _("Plan"),
    "billing:history": _("History"),
    "billing:credits": _("Credits"),
    "billing:usdc": "USDC",
    "billing:invoices": _("Invoices"),
    "billing:methods": _("Payment methods"),
    "billing:alerts": _("Alerts"),
    "console:limits": _("Spend limits"),
    "billing:earnings": _("Earnings"),
    "billing:disputes": _("Disputes"),
    "billing:referrals": _("Referrals"),
}


@register.inclusion_tag("parts/places.html", takes_context=True)
def billing_places(context: dict[str, Any]) -> dict[str, Any]:
    """The present place is the one whose address the page's own begins with."""
    links = {reverse(name): label for name, label in PLACES.items()}
    inside = [url for url in links if context["request"].path.startswith(url)]
    return {"title": _("Billing"), "links": links, "here": max(inside, key=len, default="")}
