"""Machines whose agent reports to us: the list, and the price of one's own."""

from __future__ import annotations

from decimal import Decimal

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.formats import localize_input
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import current_organisation, permissions_of
from accounts.requests import Request
from accounts.roles import Permission
from billing.usage import OPERATOR_SHARE
from catalyst.access import get_own_node, nodes_seen_by
from catalyst.models import Failover, Node
from catalyst.offers import set_price
from lib.errors import AppError
from lib.forms import add_refusal, read_number

PAGE_ROWS = 25
SHARE = f"{(OPERATOR_SHARE * 100).normalize():f}"  # per cent


class PriceForm(forms.Form):
    price_per_hour = forms.CharField(
        label=gettext_lazy("Price of one slot, USD per hour"),
        max_length=20,
        help_text=gettext_lazy("With up to four decimal places."),
        widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off"}),
    )

    def clean_price_per_hour(self) -> str:
        return read_number(self.cleaned_data["price_per_hour"].strip())


@require_GET
def show_nodes(request: Request) -> HttpResponse:
    """Nodes on which the organisation's pods can run, its own first, and how the last moves went."""
    organisation = current_organisation(request.actor, Permission.SEE_PODS)
    moves = Failover.objects.filter(pod__organisation=organisation).select_related("pod", "from_node", "to_node")
    rows = nodes_seen_by(request.actor).order_by("organisation_id", "name")
    context = {
        "page": Paginator(rows, PAGE_ROWS).get_page(request.GET.get("page")),
        "organisation": organisation,
        "failovers": moves.order_by("-pk")[:20],
        "may_price": Permission.MANAGE_BILLING in permissions_of(request.actor, organisation.pk),
    }
    return render(request, "console/nodes.html", context)


@require_http_methods(["GET", "POST"])
def price_node(request: Request, node_id: str) -> HttpResponse:
    node = get_own_node(request.actor, node_id, Permission.MANAGE_BILLING)
    now_asked = Decimal(f"{node.price_per_hour.normalize():f}")
    sent = request.POST if request.method == "POST" else None
    form = PriceForm(sent, initial={"price_per_hour": localize_input(now_asked)})
    if form.is_valid() and _save(request, node, form):
        return redirect("console:nodes")
    context = {"node": node, "form": form, "share": SHARE}
    return render(request, "console/node_price.html", context, status=422 if form.errors else 200)


def _save(request: Request, node: Node, form: PriceForm) -> bool:
    try:
        set_price(node=node, price=form.cleaned_data["price_per_hour"], actor=request.actor)
    except AppError as refusal:
        add_refusal(form, refusal)
        return False
    messages.success(request, _("Saved."))
    return True
