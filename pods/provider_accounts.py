"""Customers' own keys at providers: tried first, sealed, never shown again, not removed while they are needed."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit
from accounts.actor import Actor
from accounts.models import Organisation
from billing.plans import require_entitlement
from lib.clock import now
from lib.errors import AppError, Conflict, Invalid
from lib.secrets import seal
from marketplace.models import Provider, ProviderAccount
from marketplace.providers.base import BadKey, ProviderError
from marketplace.registry import adapter_for
from pods import limits
from pods.models import Pod
from pods.pricing import OWN_NODES
from pods.states import PodStatus

HINT = 4


def add_account(
    *, organisation: Organisation, provider_slug: str, key: str, name: str, actor: Actor
) -> ProviderAccount:
    """Keep a key that the provider accepts. Raises Invalid beside the field, or 403 beyond the plan's limit."""
    provider = _linkable(provider_slug)
    rows = ProviderAccount.objects.filter(organisation=organisation, archived_at=None)
    if not rows.filter(provider=provider).exists():
        require_entitlement(organisation, limits.PROVIDERS, limits.linked_providers(organisation))
    account = ProviderAccount(organisation=organisation, provider=provider, name=name or provider.name)
    _put_key(account, key)
    with transaction.atomic():
        account.save()
        audit.record(organisation.pk, actor, "provider_account.add", account, {"provider": provider.slug})
    return account


def change_account(account: ProviderAccount, *, name: str | None, key: str | None, actor: Actor) -> ProviderAccount:
    if name:
        account.name = name
    if key:
        _put_key(account, key)
    with transaction.atomic():
        account.save()
        audit.record(account.organisation_id, actor, "provider_account.change", account, {"key": bool(key)})
    return account


def remove_account(account: ProviderAccount, *, actor: Actor) -> None:
    """Raises Conflict while a pod of it may still have an instance there: nobody else could end that."""
    with transaction.atomic():
        ProviderAccount.objects.select_for_update().get(pk=account.pk)
        running = Pod.objects.filter(provider_account=account).exclude(status=PodStatus.TERMINATED)
        names = [pod.name for pod in running[:5] if pod.placements.exclude(status__in=["gone", "refused"]).exists()]
        if names:
            message = _("Pods still need this key: %s. Terminate them first.") % ", ".join(names)
            raise Conflict(message, code="account_in_use")
        # The row stays for the books; the key itself does not.
        ProviderAccount.objects.filter(pk=account.pk).update(archived_at=now(), sealed_key=b"")
        audit.record(account.organisation_id, actor, "provider_account.remove", account)


def _linkable(slug: str) -> Provider:
    provider = Provider.objects.filter(pk=slug).first() if "\x00" not in slug else None
    if provider is None or slug == OWN_NODES or slug not in settings.PROVIDERS:
        message = _("Keys of this provider cannot be linked.")
        raise Invalid(message, fields={"provider": [message]})
    if "rent" not in provider.capabilities:
        message = _("%s can be compared here but not rented.") % provider.name
        raise Invalid(message, fields={"provider": [message]})
    return provider


def _put_key(account: ProviderAccount, key: str) -> None:
    account.sealed_key = seal(key)
    account.key_hint = key[-HINT:]
    try:
        adapter_for(account.provider_id, account).list_instances()
    except BadKey:
        message = _("%s does not accept this key.") % account.provider.name
        raise Invalid(message, code="bad_key", fields={"key": [message]}) from None
    except ProviderError as failure:
        message = _("We could not check this key with %s. Try again in a minute.") % account.provider.name
        raise AppError(message, code=failure.code, status=503) from None
    account.checked_at = now()
    account.problem = ""
