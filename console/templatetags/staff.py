"""`{% staff_nav %}`: the pages of staff, as far as the reader's group may see them."""

from __future__ import annotations

from typing import Any, NamedTuple

from django import template
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from console.access import may_see

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


@register.inclusion_tag("console/_staff_nav.html", takes_context=True)
def staff_nav(context: template.Context) -> dict[str, Any]:
    request = context["request"]
    here = request.resolver_match.view_name if request.resolver_match else ""
    shown = [page for page in PAGES if may_see(request.actor, page.app)]
    items = [{"url": reverse(page.name), "label": page.label, "current": page.name == here} for page in shown]
    return {"items": items}
