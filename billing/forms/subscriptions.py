"""Forms of a plan that renews itself."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from django import forms
from django.utils.translation import gettext_lazy as _

# As Stripe names them.
WHY = {
    "too_expensive": _("It is too expensive"),
    "missing_features": _("Something is missing"),
    "unused": _("I do not use it enough"),
    "switched_service": _("I use something else now"),
    "low_quality": _("It does not work well"),
    "too_complex": _("It is too complicated"),
    "other": _("Another reason"),
}


class ChangePlanForm(forms.Form):
    """The yes to an offer, which names what was offered. `token` makes sending the form twice harmless."""

    plan = forms.SlugField(max_length=32, widget=forms.HiddenInput)
    at = forms.IntegerField(min_value=0, max_value=2**33, widget=forms.HiddenInput)
    amount = forms.DecimalField(max_digits=12, decimal_places=2, min_value=0, widget=forms.HiddenInput)
    next_amount = forms.DecimalField(max_digits=12, decimal_places=2, min_value=0, widget=forms.HiddenInput)
    token = forms.CharField(max_length=64, min_length=16, widget=forms.HiddenInput)

    @property
    def agreed(self) -> tuple[Decimal, Decimal]:
        return self.cleaned_data["amount"], self.cleaned_data["next_amount"]

    @property
    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.cleaned_data["at"], UTC)


class CancelPlanForm(forms.Form):
    reason = forms.ChoiceField(label=_("Why?"), choices=[("", _("Choose a reason")), *WHY.items()])
    comment = forms.CharField(
        label=_("What should be different?"), max_length=400, required=False, widget=forms.Textarea({"rows": 3})
    )
