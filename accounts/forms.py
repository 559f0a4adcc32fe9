"""Forms of sign-up and of the settings pages."""

from __future__ import annotations

import zoneinfo
from datetime import timedelta
from typing import Any

from allauth.account.forms import SignupForm as AllauthSignupForm
from django import forms
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation, User
from accounts.people import welcome
from accounts.roles import Permission, Role
from lib.clock import now

MANY_DAYS = [(30, _("30 days")), (90, _("90 days")), (365, _("1 year")), (0, _("Never"))]


class SignupForm(AllauthSignupForm):  # type: ignore[misc]  # allauth has no types
    """The person, their address and their organisation come into being together or not at all."""

    def save(self, request: HttpRequest) -> User:
        with transaction.atomic():
            person: User = super().save(request)
            welcome(person, request)
        return person


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    time_zone = forms.ChoiceField(label=_("Time zone"), choices=())
    locale = forms.ChoiceField(
        label=_("Language"), choices=[("", _("Same as my browser")), *settings.LANGUAGES], required=False
    )

    class Meta:
        model = User
        fields = ("name", "locale", "time_zone")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zones: Any = self.fields["time_zone"]
        zones.choices = [(zone, zone.replace("_", " ")) for zone in sorted(zoneinfo.available_timezones())]
        self.fields["name"].widget.attrs["autocomplete"] = "name"


class OrganisationForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Organisation
        fields = ("name",)


class InviteForm(forms.Form):
    email = forms.EmailField(label=_("Email"))
    role = forms.ChoiceField(label=_("Role"), choices=Role.choices, initial=Role.DEVELOPER)


class KeyForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("Where it is used, such as “ci” or “laptop”."))
    scopes = forms.MultipleChoiceField(label=_("Permissions"), widget=forms.CheckboxSelectMultiple)
    days = forms.TypedChoiceField(label=_("Valid for"), choices=MANY_DAYS, coerce=int, initial=90)

    def __init__(self, *args: Any, offered: list[Permission], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        scopes: Any = self.fields["scopes"]
        scopes.choices = [(permission.value, permission.label) for permission in offered]

    def expires_at(self) -> Any:
        days: int = self.cleaned_data["days"]
        return now() + timedelta(days=days) if days else None
