"""Forms of the USDC page."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.chain.networks import configured

PLAIN = {"autocomplete": "off", "spellcheck": "false"}


class ChainForm(forms.Form):
    """A chain of this installation and an address on it."""

    chain = forms.ChoiceField(label=_("Chain"))
    address = forms.CharField(
        label=_("Address"), max_length=64, widget=forms.TextInput({**PLAIN, "placeholder": "0x…", "class": "code"})
    )

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # whatever a form takes
        field = self.fields["chain"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(network.slug, network.name) for network in configured()]


class LinkForm(forms.Form):
    message = forms.CharField(
        label=_("Message"), max_length=2000, strip=False, widget=forms.Textarea({"rows": 12, "readonly": True})
    )
    signature = forms.CharField(
        label=_("Signature"), max_length=400, widget=forms.TextInput({**PLAIN, "placeholder": "0x…"})
    )


class WithdrawForm(ChainForm):
    """`token` makes sending the form twice harmless."""

    amount = forms.CharField(
        label=_("Amount, USDC"),
        max_length=20,
        widget=forms.TextInput({**PLAIN, "inputmode": "decimal", "placeholder": "50"}),
    )
    token = forms.CharField(max_length=64, min_length=16, widget=forms.HiddenInput)
