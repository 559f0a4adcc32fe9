"""Forms of the billing pages. Errors stand beside the field."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.payments.checkout import check_top_up
from lib.errors import Invalid

PRESETS = ("10", "25", "50", "100", "250", "500")


from lib.forms import read_number
class TopUpForm(forms.Form):
    """A preset or a sum of one's own, which wins. `token` makes sending the form twice harmless."""

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
        widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off", "placeholder": "75.00"}),
    )
    token = forms.CharField(max_length=64, min_length=16, widget=forms.HiddenInput)

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


class ChoosePlanForm(forms.Form):
    plan = forms.SlugField(max_length=32)
    token = forms.CharField(max_length=64, min_length=16)


class HandOnForm(forms.Form):
    """Credits for another organisation. `token` makes sending the form twice harmless."""

    to = forms.CharField(
        label=_("To the organisation with the ID"),
        max_length=40,
        help_text=_("It begins with org_ and stands in the settings of that organisation."),
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false", "placeholder": "org_…"}),
    )
    amount = forms.CharField(
        label=_("Credits"),
        max_length=20,
        widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off", "placeholder": "5"}),
    )
    token = forms.CharField(max_length=64, min_length=16, widget=forms.HiddenInput)
