"""The payment services of this installation, by name."""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.utils.translation import gettext as _

from billing.payments.base import Service
from billing.payments.paypal.adapter import PayPal
from billing.payments.paypal.client import PayPalApi
from lib.errors import AppError

PAYPAL = "paypal"
NAMES = {PAYPAL: "PayPal"}  # as people know them


class NotConfigured(AppError):
    """This installation has no keys for the service, and does not pretend to."""

    status = 503
    code = "payment_service_not_configured"


@cache
def service(slug: str) -> Service:
    """The adapter with this installation's keys. Raises KeyError for a name that nobody has written an adapter for."""
    if slug != PAYPAL:
        raise KeyError(slug)
    if not (settings.PAYPAL_CLIENT_ID and settings.PAYPAL_CLIENT_SECRET):
        raise NotConfigured(_("Payments are not set up on this installation."))
    api = PayPalApi(
        url=settings.PAYPAL_URL,
        client_id=settings.PAYPAL_CLIENT_ID,
        client_secret=settings.PAYPAL_CLIENT_SECRET,
    )
    return PayPal(api, webhook_id=settings.PAYPAL_WEBHOOK_ID)
