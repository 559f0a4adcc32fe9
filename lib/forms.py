"""What forms of all pages need: a refusal of the domain beside the field, numbers as the reader's language writes them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.formats import sanitize_separators
from django.utils.translation import gettext_lazy as _

from lib.days import check_days
from lib.errors import AppError, Invalid

DAY = {"type": "date"}


class DaysForm(forms.Form):
    """The days of a filter."""

    since = forms.DateField(label=_("From (UTC)"), required=False, widget=forms.DateInput(DAY, format="%Y-%m-%d"))
    until = forms.DateField(label=_("Until (UTC)"), required=False, widget=forms.DateInput(DAY, format="%Y-%m-%d"))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        try:
            check_days(data.get("since"), data.get("until"))
        except Invalid as refusal:
            add_refusal(self, refusal)
        return data


def add_refusal(form: forms.BaseForm, refusal: AppError) -> None:
    """Beside the fields that it names, else above the form."""
    for name, texts in refusal.fields.items():
        for text in texts:
            form.add_error(name if name in form.fields else None, text)
    if not refusal.fields:
        form.add_error(None, refusal.message)


def read_number(text: str) -> str:
    """`25,50` of a Spanish page as `25.50`, which is how programs write it; anything else as it is."""
    return str(sanitize_separators(text))
