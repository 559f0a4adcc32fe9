"""Forms of disputes between renters and owners."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.disputes.claims import WINDOW, Subject
from billing.disputes.deciding import LONGEST_NOTE
from billing.disputes.opening import LONGEST_TEXT
from billing.states import DisputeReason
from lib.forms import read_number
from lib.templatetags.numbers import money


class TextForm(forms.Form):
    """An answer or an appeal."""

    text = forms.CharField(label=_("What you say to it"), max_length=LONGEST_TEXT, widget=forms.Textarea({"rows": 6}))


class OpenForm(forms.Form):
    """`token` makes sending the form twice harmless."""

    owner = forms.ChoiceField(label=_("Owner of the machine"))
    amount = forms.CharField(
        label=_("Disputed amount"),
        max_length=24,
        widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off"}),
    )
    reason = forms.ChoiceField(label=_("Reason"), choices=DisputeReason.choices)
    text = forms.CharField(
        label=_("What happened"),
        max_length=LONGEST_TEXT,
        help_text=_("When, and how it showed. The owner reads this; you can add files afterwards."),
        widget=forms.Textarea({"rows": 6}),
    )
    token = forms.CharField(max_length=64, min_length=16, widget=forms.HiddenInput)

    def __init__(self, subject: Subject, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["owner"]
        assert isinstance(field, forms.ChoiceField)
        window = _("At most what you paid this owner for the pod in the last %(days)d days.")
        self.fields["amount"].help_text = window % {"days": WINDOW.days}
        field.choices = [
            (claim.owner.public_id, f"{claim.owner.name} · {money(claim.paid, claim.currency)}")
            for claim in subject.claims
        ]

    def clean_amount(self) -> str:
        return read_number(self.cleaned_data["amount"].strip())


class DecisionForm(forms.Form):
    """What staff decide."""

    refund = forms.CharField(
        label=_("Refund to the renter"), max_length=24, widget=forms.TextInput({"inputmode": "decimal"})
    )
    note = forms.CharField(
        label=_("Reason, which both sides read"), max_length=LONGEST_NOTE, widget=forms.Textarea({"rows": 5})
    )

    def clean_refund(self) -> str:
        return read_number(self.cleaned_data["refund"].strip())
