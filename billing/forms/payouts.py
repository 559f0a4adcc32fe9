"""Forms of the earnings page. What is wrong in them is said by the domain, beside the field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from billing.chain import links
from billing.chain.networks import configured
from billing.models import LinkedWallet, PayeeProfile, PayoutMethod
from lib.countries import country_choices
from lib.errors import NotFound
from lib.forms import read_number

Kind = PayoutMethod.Kind

PLAIN = {"autocomplete": "off", "spellcheck": "false"}


class PayeeForm(forms.Form):
    legal_name = forms.CharField(label=_("Legal name"), max_length=140, help_text=_("As in your tax form."))
    country = forms.ChoiceField(label=_("Country in which you are taxed"), choices=())
    tax_form = forms.ChoiceField(
        label=_("Tax form that you have sent us"),
        choices=[("", _("Choose a form")), *[choice for choice in PayeeProfile.TaxForm.choices if choice[0] != "none"]],
    )
    pays_weekly = forms.BooleanField(label=_("Pay out every Monday what is available"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        country: Any = self.fields["country"]
        country.choices = [("", _("Choose a country")), *country_choices()]


class SumForm(forms.Form):
    """`token` makes sending the form twice harmless."""

    amount = forms.CharField(
        label=_("Amount, USD"),
        max_length=20,
        required=False,
        help_text=_("Empty: all that is available."),
        widget=forms.TextInput({**PLAIN, "inputmode": "decimal", "placeholder": "50"}),
    )
    token = forms.CharField(max_length=64, min_length=16, widget=forms.HiddenInput)

    def clean_amount(self) -> str | None:
        return read_number(self.cleaned_data["amount"]) or None


class PayoutForm(SumForm):
    method = forms.ChoiceField(label=_("Pay to"), choices=(), required=False)

    def __init__(self, methods: Iterable[PayoutMethod], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["method"]
        field.choices = [(method.public_id, str(method)) for method in methods]


class PayPalForm(forms.Form):
    email = forms.CharField(
        label=_("E-mail address of your PayPal account"),
        max_length=254,
        widget=forms.EmailInput({"autocomplete": "off"}),
    )


class BankForm(forms.Form):
    holder = forms.CharField(label=_("Account holder"), max_length=140)
    iban = forms.CharField(label="IBAN", max_length=42, widget=forms.TextInput({**PLAIN, "class": "code"}))
    bic = forms.CharField(label="BIC", max_length=11, widget=forms.TextInput({**PLAIN, "class": "code"}))


class UsdcForm(forms.Form):
    """One of the chains of this installation, and a wallet that the organisation has linked."""

    chain = forms.ChoiceField(label=_("Chain"), choices=())
    wallet = forms.ChoiceField(label=_("Linked wallet"), choices=())

    def __init__(self, wallets: Iterable[LinkedWallet], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        chain: Any = self.fields["chain"]
        wallet: Any = self.fields["wallet"]
        chain.choices = [(network.slug, network.name) for network in configured()]
        wallet.choices = [(one.public_id, one.address) for one in wallets]


def empty_forms(organisation: Organisation) -> dict[str, forms.Form]:
    return {f"{kind}_form": method_form(organisation, kind) for kind in (Kind.PAYPAL, Kind.BANK, Kind.USDC)}


def method_form(organisation: Organisation, kind: str, data: Any = None) -> forms.Form:
    """Raises NotFound for a kind that has no form."""
    ids = f"{kind}_%s"
    if kind == Kind.PAYPAL:
        return PayPalForm(data, auto_id=ids)
    if kind == Kind.BANK:
        return BankForm(data, auto_id=ids)
    if kind == Kind.USDC:
        return UsdcForm(links.wallets_of(organisation), data, auto_id=ids)
    raise NotFound(gettext("There is no such way to be paid."))
