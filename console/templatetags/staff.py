"""`{% staff_places %}`: the pages of staff, above each of them, as far as the reader's group may see them."""

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


@register.inclusion_tag("parts/places.html", takes_context=True)
def staff_places(context: template.Context) -> dict[str, Any]:
    """The present place is the one whose address the page's own begins with."""
    request = context["request"]
    links = {reverse(page.name): page.label for page in PAGES if may_see(request.actor, page.app)}
    inside = [url for url in links if request.path.startswith(url)]
    return {"title": _("Staff"), "links": links, "here": max(inside, key=len, default="")}
