"""`{% staff_places %}`: the pages of staff, above each of them, as far as the reader's group may see them; and the words
of a reconciliation and of chargebacks."""

from __future__ import annotations

from typing import Any, NamedTuple

from django import template
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from billing.chain.networks import NETWORKS
from billing.payments.services import NAMES
from billing.reconciliation import BOOKS, CHAIN
from console.access import may_see
from marketplace.models import Provider

register = template.Library()


class Page(NamedTuple):
    name: str
    label: StrOrPromise
    app: str  # of the table of staff groups


PAGES = (
    Page("console:staff", _("Overview"), "console"),
    Page("console:customers", _("Customers"), "accounts"),
    Page("console:transactions", _("Transactions"), "billing"),
    Page("console:refunds", _("Refunds"), "billing"),
    Page("console:chargebacks", _("Chargebacks"), "billing"),
    Page("console:disputes", _("Disputes"), "billing"),
    Page("console:payouts", _("Payouts"), "billing"),
    Page("console:costs", _("Costs"), "billing"),
    Page("console:reconciliation", _("Reconciliation"), "billing"),
    Page("admin:index", _("Admin"), "console"),
)

CASES = {
    "unknown": _("unknown to us"),
    "missing": _("unknown there"),
    "chargeback": _("chargeback"),
    "refund": _("refund"),
    "refund_missing": _("refund unknown there"),
    "refund_not_booked": _("refund not booked"),
    "payout": _("payout"),
    "payout_missing": _("payout unknown there"),
    "balance": _("balance"),
    "bill": _("bill"),
    "unknown_instance": _("instance unknown to us"),
    "ledger": _("ledger"),
}
# Why a payer disputed a payment, in Stripe's words.
BANK_REASONS = {
    "credit_not_processed": _("refund not received"),
    "duplicate": _("paid twice"),
    "fraudulent": _("not paid by the cardholder"),
    "general": _("no reason given"),
    "product_not_received": _("nothing received"),
    "product_unacceptable": _("not as described"),
    "subscription_canceled": _("plan was cancelled"),
    "unrecognized": _("not recognised"),
}


@register.filter
def bank_reason(reason: str) -> str:
    return str(BANK_REASONS.get(reason, reason))


@register.filter
def source_name(source: str) -> str:
    """What our books are compared with, as people call it."""
    kind, colon, slug = source.partition(":")
    if source == BOOKS:
        return gettext("Our own books")
    if source.startswith(CHAIN):
        return f"USDC · {NETWORKS[slug].name}" if slug in NETWORKS else source
    if colon and kind == "provider":
        name = Provider.objects.filter(pk=slug).values_list("name", flat=True).first()
        return gettext("Bills of %s") % (name or slug)
    return NAMES.get(source, source)


@register.filter
def case_kind(kind: str) -> str:
    return str(CASES.get(kind, kind))


@register.inclusion_tag("parts/places.html", takes_context=True)
def staff_places(context: template.Context) -> dict[str, Any]:
    """The present place is the one whose address the page's own begins with."""
    request = context["request"]
    links = {reverse(page.name): page.label for page in PAGES if may_see(request.actor, page.app)}
    inside = [url for url in links if request.path.startswith(url)]
    return {"title": _("Staff"), "links": links, "here": max(inside, key=len, default="")}
