"""The request as doors see it: what our middlewares add to Django's."""

from __future__ import annotations

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from accounts.actor import Actor


class Request(HttpRequest):
    """Only for annotations: `actor` is set by `accounts.middleware` and `accounts.auth`, `htmx` by django-htmx."""

    actor: Actor
    htmx: HtmxDetails
