"""Forms of the billing pages. Errors stand beside the field."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from billing.models import PaymentMethod
from billing.payments.checkout import check_top_up
from billing.payments.services import NAMES, PAYPAL
from lib.errors import Invalid
from lib.forms import read_number

PRESETS = ("10", "25", "50", "100", "250", "500")


def ways_to_pay(cards: Iterable[PaymentMethod]) -> list[tuple[str, str]]:
    """Saved cards, the default first; then PayPal."""
    names = [(card.public_id, f"{card.brand.title()} ···· {card.last4}") for card in cards]
    return [*names, (PAYPAL, NAMES[PAYPAL])]


class PayForm(forms.Form):
    """With PayPal, or with one of the organisation's saved cards. `token` makes sending the form twice harmless."""

    pay_with = forms.ChoiceField(label=_("Pay with"), widget=forms.RadioSelect, required=False)
    token = forms.CharField(max_length=64, min_length=16, widget=forms.HiddenInput)

    def __init__(self, cards: Iterable[PaymentMethod], data: QueryDict | None = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.cards = {card.public_id: card for card in cards}
        field = self.fields["pay_with"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = ways_to_pay(self.cards.values())
        field.initial = field.choices[0][0]

    @property
    def card(self) -> PaymentMethod | None:
        """None: PayPal."""
        return self.cards.get(self.cleaned_data["pay_with"])


class TopUpForm(PayForm):
    """A preset or a sum of one's own, which wins."""

    preset = forms.ChoiceField(
        label=_("Amount"),
        choices=[(preset, f"${preset}") for preset in PRESETS],
        widget=forms.RadioSelect,
        required=False,
    )
    amount = forms.CharField(
        label=_("Another amount, USD"),
        max_length=20,
        required=False,
        widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off", "placeholder": "75"}),
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        written = read_number((data.get("amount") or "").strip()) or data.get("preset") or ""
        if "amount" in self.errors or "preset" in self.errors:
            return data
        try:
            data["sum"] = check_top_up(written)
        except Invalid as refusal:
            for message in refusal.fields.get("amount", [refusal.message]):
                self.add_error("amount", message)
        return data

    @property
    def sum(self) -> Decimal:
        amount: Decimal = self.cleaned_data["sum"]
        return amount


class ChoosePlanForm(PayForm):
    """`amount`: the price that the page showed."""

    plan = forms.SlugField(max_length=32, widget=forms.HiddenInput)
    amount = forms.DecimalField(max_digits=12, decimal_places=6, required=False, widget=forms.HiddenInput)
    renew = forms.BooleanField(label=_("Renew it each month, until I cancel"), required=False)


class HandOnForm(forms.Form):
    """Credits for another organisation. `token` makes sending the form twice harmless."""

    to = forms.CharField(
        label=_("To (organisation ID)"),
        max_length=40,
        help_text=_("It begins with org_ and is shown in that organisation's settings."),
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false", "placeholder": "org_…"}),
    )
    amount = forms.CharField(
        label=_("Credits"),
        max_length=20,
        widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off", "placeholder": "5"}),
    )
    token = forms.CharField(max_length=64, min_length=16, widget=forms.HiddenInput)
