"""A refusal of the domain, shown where a form shows its own errors."""

from __future__ import annotations

from django import forms

from lib.errors import AppError


def add_refusal(form: forms.BaseForm, refusal: AppError) -> None:
    """Beside the fields that it names, else above the form."""
    for name, texts in refusal.fields.items():
        for text in texts:
            form.add_error(name if name in form.fields else None, text)
    if not refusal.fields:
        form.add_error(None, refusal.message)
