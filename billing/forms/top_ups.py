"""The forms of the automatic top-up and of alerts. Their errors come from the domain, beside their fields."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _


def _sum(label: Any, example: str) -> forms.CharField:
    widget = forms.TextInput({"inputmode": "decimal", "autocomplete": "off", "placeholder": example})
    return forms.CharField(label=label, max_length=20, required=False, widget=widget)


class AutoTopUpForm(forms.Form):
    is_on = forms.BooleanField(label=_("Top up automatically with the default card"), required=False)
    threshold = _sum(_("When the wallet has less than, USD"), "20")
    amount = _sum(_("Pay in, USD"), "50")


class AlertForm(forms.Form):
    below = _sum(_("Tell me when it falls below"), "10")
    watches_runway = forms.BooleanField(
        label=_("Tell me 24, 6 and 1 hours before it runs out at the present rate"), required=False
    )
