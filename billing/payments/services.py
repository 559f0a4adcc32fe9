"""The payment services of this installation, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.translation import gettext as _

from billing.payments.base import (
    ChargebackService,
    ListingService,
    PayeeService,
    PayoutService,
    ProratingService,
    Service,
    SubscriptionService,
)
from billing.payments.paypal.adapter import PayPal
from billing.payments.paypal.client import PayPalApi
from billing.payments.paypal.payouts import PayPalPayouts
from billing.payments.paypal.renewals import PayPalRenewals
from lib.errors import AppError

# Stripe's SDK takes half a second to import: that is done when it is first spoken to, not at the start of each process.
if TYPE_CHECKING:
    from stripe import StripeClient

    from billing.payments.stripe.adapter import Stripe

PAYPAL, STRIPE = "paypal", "stripe"
NAMES = {PAYPAL: "PayPal", STRIPE: "Stripe"}  # as people know them


class NotConfigured(AppError):
    """This installation has no keys for the service, and does not pretend to."""

    status = 503
    code = "payment_service_not_configured"


def is_configured(slug: str) -> bool:
    """Whether this installation has keys for the service."""
    if slug == STRIPE:
        return bool(settings.STRIPE_SECRET_KEY and settings.STRIPE_PUBLISHABLE_KEY)
    return bool(settings.PAYPAL_CLIENT_ID and settings.PAYPAL_CLIENT_SECRET)


@cache
def service(slug: str) -> Service:
    """The adapter with this installation's keys. Raises KeyError for a name that nobody has written an adapter for."""
    makers: dict[str, Callable[[], Service]] = {PAYPAL: _paypal, STRIPE: _stripe}
    return makers[slug]()


def stripe() -> Stripe:
    """The one that keeps cards and renews subscriptions. Raises NotConfigured."""
    from billing.payments.stripe.adapter import Stripe

    adapter = service(STRIPE)
    assert isinstance(adapter, Stripe)
    return adapter


def renewals(slug: str) -> SubscriptionService:
    """What renews plans. Raises KeyError for a service that does not, NotConfigured."""
    return PayPalRenewals(_paypal_api()) if slug == PAYPAL else prorating(slug)


def prorating(slug: str) -> ProratingService:
    """What changes a renewed plan in the middle of a month. Raises KeyError for a service that does not, NotConfigured."""
    if slug != STRIPE:
        raise KeyError(slug)
    from billing.payments.stripe.renewals import StripeRenewals

    return StripeRenewals(_stripe_client())


def payouts(slug: str) -> PayoutService:
    """What pays owners. Raises KeyError for a service that does not, NotConfigured."""
    makers: dict[str, Callable[[], PayoutService]] = {PAYPAL: _paypal_payouts, STRIPE: _stripe_payouts}
    return makers[slug]()


def payees(slug: str) -> PayeeService:
    """What asks owners who they are, before it pays them. Raises KeyError for a service that does not, NotConfigured."""
    if slug != STRIPE:
        raise KeyError(slug)
    from billing.payments.stripe.connect import StripePayees

    return StripePayees(_stripe_client())


def chargebacks(slug: str) -> ChargebackService:
    """What tells of disputes of payers' banks. Raises KeyError for a service that does not, NotConfigured."""
    if slug != STRIPE:
        raise KeyError(slug)
    from billing.payments.stripe.chargebacks import StripeChargebacks

    return StripeChargebacks(_stripe_client())


def listing(slug: str) -> ListingService:
    """What lists all that a service has of ours. Raises KeyError for a service that does not, NotConfigured."""
    if slug != STRIPE:
        raise KeyError(slug)
    from billing.payments.stripe.listing import StripeListing

    return StripeListing(_stripe_client())


def _paypal_payouts() -> PayoutService:
    return PayPalPayouts(_paypal_api())


def _stripe_payouts() -> PayoutService:
    from billing.payments.stripe.connect import StripePayouts

    return StripePayouts(_stripe_client())


def _stripe() -> Stripe:
    from billing.payments.stripe.adapter import Stripe

    return Stripe(_stripe_client(), webhook_secret=settings.STRIPE_WEBHOOK_SECRET)


def _stripe_client() -> StripeClient:
    _require(STRIPE)
    from billing.payments.stripe.client import connect

    return connect(url=settings.STRIPE_URL, secret_key=settings.STRIPE_SECRET_KEY)


def _paypal() -> PayPal:
    _require(PAYPAL)
    api = PayPalApi(
        url=settings.PAYPAL_URL,
        client_id=settings.PAYPAL_CLIENT_ID,
        client_secret=settings.PAYPAL_CLIENT_SECRET,
    )
    return PayPal(api, webhook_id=settings.PAYPAL_WEBHOOK_ID)


def _paypal_api() -> PayPalApi:
    """That of the adapter, which keeps the access token."""
    adapter = service(PAYPAL)
    assert isinstance(adapter, PayPal)
    return adapter.api


def _require(slug: str) -> None:
    if not is_configured(slug):
        raise NotConfigured(_("Payments are not set up on this installation."))
