"""What forms of all pages need: a refusal of the domain beside the field, numbers as the reader's language writes them."""

from __future__ import annotations

from django import forms
from django.utils.formats import sanitize_separators

from lib.errors import AppError


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
