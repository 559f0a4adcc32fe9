"""Forms of the journey. Errors stand beside the field; what was typed is never lost."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from billing.forms.payments import ways_to_pay
from billing.models import PaymentMethod
from enrollment.identities import validate_cedula, validate_ruc
from enrollment.models import IdentityKind
from lib.countries import COUNTRIES, country_choices
from marketplace.models import Offer
from pods.models import Payer, PodTemplate, RestartPolicy

POD_NAME = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
ECUADOR = "EC"


class CheckoutForm(forms.Form):
    """`person` is whoever is signed in: then the address and the name are known, and their saved cards can pay."""

    name = forms.CharField(label=_("Name"), max_length=120, widget=forms.TextInput({"autocomplete": "name"}))
    email = forms.EmailField(label=_("Email"), widget=forms.EmailInput({"autocomplete": "email"}))
    country = forms.ChoiceField(label=_("Country"), choices=())
    identity_kind = forms.ChoiceField(
        label=_("Tax id"),
        choices=[(IdentityKind.RUC, IdentityKind.RUC.label), (IdentityKind.CEDULA, IdentityKind.CEDULA.label)],
        required=False,
    )
    identity = forms.CharField(label=_("Number"), max_length=20, required=False)
    pay_with = forms.ChoiceField(label=_("Pay with"), required=False)
    terms = forms.BooleanField(label=_("I accept the terms and the privacy notice"))
    token = forms.CharField(max_length=64, widget=forms.HiddenInput)  # idempotency: one enrolment for one form

    def __init__(
        self, *args: Any, person: User | None = None, cards: Iterable[PaymentMethod] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.person = person
        self.cards = {card.public_id: card for card in cards}
        pay_with: Any = self.fields["pay_with"]
        pay_with.choices = ways_to_pay(self.cards.values())
        country: Any = self.fields["country"]
        country.choices = [("", _("Choose a country")), *country_choices()]
        if person is not None:
            del self.fields["name"], self.fields["email"]

    @property
    def card(self) -> PaymentMethod | None:
        """None: PayPal."""
        return self.cards.get(self.cleaned_data["pay_with"])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("country") and data["country"] not in COUNTRIES:
            self.add_error("country", _("Choose a country from the list."))
        if data.get("country") == ECUADOR:
            self._clean_identity(data)
        else:
            data["identity_kind"], data["identity"] = IdentityKind.NONE, ""
        return data

    def _clean_identity(self, data: dict[str, Any]) -> None:
        number = data.get("identity", "")
        check = validate_ruc if data.get("identity_kind") == IdentityKind.RUC else validate_cedula
        if not number:
            self.add_error("identity", _("In Ecuador an invoice needs a RUC or a cédula."))
        elif not (verdict := check(number)).valid:
            self.add_error("identity", verdict.message)
        else:
            data["identity_kind"] = verdict.kind


class ActivateForm(forms.Form):
    key = forms.CharField(
        label=_("Activation key"), max_length=120, widget=forms.TextInput({"autocomplete": "one-time-code"})
    )


class DeployForm(forms.Form):
    """Everything that the deploy page asks for; `offer` is empty when the best one is to be taken."""

    offer = forms.CharField(max_length=40, required=False, widget=forms.HiddenInput)
    template = forms.ModelChoiceField(label=_("Template"), queryset=PodTemplate.objects.none())
    name = forms.CharField(label=_("Name"), max_length=63, help_text=_("Lowercase letters, digits and hyphens."))
    gpu_query = forms.CharField(label=_("GPU"), max_length=200, required=False)
    gpu_count = forms.IntegerField(label=_("GPUs"), min_value=1, max_value=64, initial=1)
    kind = forms.ChoiceField(label=_("Kind"), choices=Offer.Kind.choices, initial=Offer.Kind.ON_DEMAND)
    disk_gb = forms.IntegerField(label=_("Disk, GB"), min_value=1, max_value=65536, initial=10)
    ttl_hours = forms.IntegerField(
        label=_("Ends after, hours"),
        min_value=1,
        max_value=24 * 366,
        initial=24,
        required=False,
        help_text=_("Leave empty to run until you stop it."),
    )
    spend_cap = forms.DecimalField(
        label=_("Spend cap"),
        min_value=Decimal("0.01"),
        max_digits=12,
        decimal_places=2,
        required=False,
        localize=True,  # `25,50` on a Spanish page
        widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off"}),
    )
    payer = forms.ChoiceField(
        label=_("Pay from"), choices=[(Payer.WALLET, Payer.WALLET.label), (Payer.CREDITS, Payer.CREDITS.label)]
    )
    restart_policy = forms.ChoiceField(
        label=_("When the process fails"), choices=RestartPolicy.choices, initial=RestartPolicy.ON_FAILURE
    )
    auto_select = forms.BooleanField(label=_("Take the next best offer when this one is gone"), required=False)
    token = forms.CharField(max_length=64, widget=forms.HiddenInput)  # idempotency: one pod for one form

    CONFIG: ClassVar[tuple[str, ...]] = (
        "name", "template", "gpu_query", "gpu_count", "kind", "disk_gb",
        "ttl_hours", "spend_cap", "payer", "restart_policy", "auto_select",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        template: Any = self.fields["template"]
        template.queryset = PodTemplate.objects.filter(organisation=None).order_by("name")
        template.label_from_instance = lambda row: gettext(row.name)  # marked for translation where they are seeded

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"].lower()
        if not POD_NAME.match(name):
            raise forms.ValidationError(
                _("Use lowercase letters, digits and hyphens; begin and end with a letter or digit.")
            )
        return name

    def config_columns(self) -> dict[str, Any]:
        """Arguments of `pods.configs.create_config`: the form's fields, and what its template brings."""
        columns = {name: self.cleaned_data[name] for name in self.CONFIG}
        template: PodTemplate = columns["template"]
        return columns | {"image": template.image, "command": template.command, "ports": template.ports}
