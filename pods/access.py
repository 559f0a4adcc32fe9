"""The only way from a request to a pod, a configuration or a provider account."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.access import current_organisation, require
from accounts.actor import Actor
from accounts.roles import Permission
from lib.errors import AppError, NotFound
from lib.ids import decode_id
from marketplace.models import ProviderAccount
from pods.models import Pod, PodConfig


def get_pod(actor: Actor, public_id: str, permission: Permission = Permission.SEE_PODS) -> Pod:
    """Raises 404 for a pod that is not the actor's, 403 when their role lacks the permission."""
    _signed_in(actor)
    rows = Pod.objects.select_related("organisation", "template", "offer", "provider_account")
    pod = rows.filter(pk=decode_id("pod", public_id), archived_at=None).first()
    if pod is None:
        raise _unknown()
    require(actor, permission, pod.organisation_id)
    return pod


def pods_seen_by(actor: Actor) -> QuerySet[Pod]:
    """Pods of the organisation that the request works in."""
    organisation = current_organisation(actor, Permission.SEE_PODS)
    return Pod.objects.filter(organisation=organisation, archived_at=None)


def get_config(actor: Actor, public_id: str, permission: Permission = Permission.SEE_PODS) -> PodConfig:
    _signed_in(actor)
    rows = PodConfig.objects.select_related("organisation", "template", "offer", "provider_account")
    config = rows.filter(pk=decode_id("cfg", public_id), archived_at=None).first()
    if config is None:
        raise _unknown()
    require(actor, permission, config.organisation_id)
    return config


def configs_seen_by(actor: Actor) -> QuerySet[PodConfig]:
    organisation = current_organisation(actor, Permission.SEE_PODS)
    rows = PodConfig.objects.filter(organisation=organisation, archived_at=None)
    return rows.select_related("organisation", "template", "offer", "provider_account")


def get_provider_account(
    actor: Actor, public_id: str, permission: Permission = Permission.MANAGE_KEYS
) -> ProviderAccount:
    _signed_in(actor)
    rows = ProviderAccount.objects.select_related("provider", "organisation")
    account = rows.filter(pk=decode_id("pac", public_id), archived_at=None).first()
    if account is None:
        raise _unknown()
    require(actor, permission, account.organisation_id)
    return account


def provider_accounts_seen_by(actor: Actor) -> QuerySet[ProviderAccount]:
    organisation = current_organisation(actor, Permission.SEE_PODS)
    return ProviderAccount.objects.filter(organisation=organisation, archived_at=None).select_related("provider")


def _signed_in(actor: Actor) -> None:
    if actor.kind == "anonymous":
        raise AppError(_("Sign in first."), code="unauthenticated", status=401)


def _unknown() -> NotFound:
    return NotFound(_("This does not exist, or it is not yours."))
