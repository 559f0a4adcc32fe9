"""What stands on invoices as their buyer."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from lib.countries import COUNTRIES, country_choices

LINES = 8  # of an address: an invoice has room for so many


class BillingDetailsForm(forms.Form):
    name = forms.CharField(label=_("Name on invoices"), max_length=160, required=False)
    address = forms.CharField(
        label=_("Address"), max_length=400, required=False, widget=forms.Textarea({"rows": 4, "autocomplete": "off"})
    )
    country = forms.ChoiceField(label=_("Country"), choices=())
    tax_id = forms.CharField(
        label=_("Tax id"),
        max_length=32,
        required=False,
        help_text=_("With a VAT id of an EU country, the buyer accounts for the tax (reverse charge)."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        country: Any = self.fields["country"]
        country.choices = [("", _("Choose a country")), *country_choices()]

    def clean_address(self) -> str:
        lines = [line.strip() for line in self.cleaned_data["address"].splitlines() if line.strip()]
        if len(lines) > LINES:
            raise forms.ValidationError(_("At most %(n)d lines.") % {"n": LINES})
        return "\n".join(lines)

    def clean_country(self) -> str:
        country: str = self.cleaned_data["country"]
        if country not in COUNTRIES:
            raise forms.ValidationError(_("Choose a country from the list."))
        return country
