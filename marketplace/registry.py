"""Adapters by provider slug. `settings.PROVIDERS` names them, so that a higher app can offer itself as a provider."""

from __future__ import annotations

from django.conf import settings
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from lib.errors import NotFound
from lib.secrets import unseal
from marketplace.models import ProviderAccount
from marketplace.providers.base import Account, Provider


def adapter_class(slug: str) -> type[Provider]:
    """Raises NotFound for a provider that has no adapter, such as one known by its list prices alone."""
    if slug not in settings.PROVIDERS:
        raise NotFound(_("Nothing can be rented at this provider through us."))
    found: type[Provider] = import_string(settings.PROVIDERS[slug])
    return found


def adapter_for(slug: str, provider_account: ProviderAccount | None = None) -> Provider:
    """An adapter with the customer's own key, or with ours."""
    build = adapter_class(slug)
    key = unseal(bytes(provider_account.sealed_key)) if provider_account else settings.PROVIDER_KEYS.get(slug, "")
    return build(Account(key=key, base_url=settings.PROVIDER_URLS.get(slug, "")))  # type: ignore[call-arg]  # protocol


def can_list(slug: str) -> bool:
    """Whether the provider's listing can be read now: some need a key."""
    return adapter_class(slug).keyless_listing or bool(settings.PROVIDER_KEYS.get(slug))


def rents_from_wallet(slug: str, capabilities: list[str]) -> bool:
    """Whether we can rent there with our own account: it can be rented, and needs no key or has ours."""
    if "rent" not in capabilities or slug not in settings.PROVIDERS:
        return False
    return slug not in settings.PROVIDER_KEYS or bool(settings.PROVIDER_KEYS[slug])
