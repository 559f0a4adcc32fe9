"""Where owners are paid: Stripe, PayPal, a bank account, USDC. A new destination waits, and the owners are told of it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_stubs_ext import StrOrPromise
from stdnum import bic as bics
from stdnum import iban as ibans
from stdnum.exceptions import ValidationError as StdnumError

from accounts import actor as actors
from accounts import audit
from accounts.access import require_person
from accounts.actor import Actor
from accounts.models import Organisation
from accounts.roles import Permission
from billing.chain import links, networks
from billing.models import LinkedWallet, PayoutMethod
from billing.payments.base import Gone, Refused
from billing.payments.services import PAYPAL, STRIPE, NotConfigured, is_configured, payees
from billing.payouts import deciding
from billing.payouts.latin import latin
from billing.payouts.payees import LONGEST_NAME, Missing, hear_of_identity, missing, profile_of
from billing.states import PayoutStatus
from lib.clock import now
from lib.errors import Conflict, Invalid
from lib.secrets import seal, unseal
from notifications.news import tell

Kind = PayoutMethod.Kind
PAGE = "billing:earnings"


def configured() -> list[str]:
    """The ways in which this installation can pay."""
    is_there = {
        Kind.STRIPE: is_configured(STRIPE),
        Kind.PAYPAL: is_configured(PAYPAL),
        Kind.BANK: bool(settings.PAYOUT_IBAN and settings.PAYOUT_BIC),
        Kind.USDC: bool(networks.configured()),
    }
    return [kind.value for kind, there in is_there.items() if there]


def methods_of(organisation: Organisation) -> QuerySet[PayoutMethod]:
    """The one that is used first leads."""
    return PayoutMethod.objects.filter(organisation=organisation, removed_at=None).order_by("-is_default", "-pk")


def default_of(organisation: Organisation) -> PayoutMethod | None:
    return methods_of(organisation).filter(is_default=True).first()


def missing_of(organisation: Organisation) -> list[Missing]:
    """What stands between it and a payout to where it is paid."""
    method = default_of(organisation)
    return missing(profile_of(organisation), method.kind if method else "")


def add_paypal(organisation: Organisation, *, email: str, actor: Actor) -> PayoutMethod:
    _require(Kind.PAYPAL, actor)
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        message = _("Write the e-mail address of your PayPal account.")
        raise Invalid(message, fields={"email": [message]}) from None
    if len(email) > 127:  # as PayPal allows
        message = _("This address is too long.")
        raise Invalid(message, fields={"email": [message]})
    return _add(organisation, Kind.PAYPAL, actor, destination=email, display=email)


def add_bank(organisation: Organisation, *, holder: str, iban: str, bic: str, actor: Actor) -> PayoutMethod:
    """The number is sealed at once; what is shown are its country and its last four digits."""
    _require(Kind.BANK, actor)
    holder = " ".join(holder.split())
    wrong = {}
    if not 2 <= len(holder) <= LONGEST_NAME or not holder.isprintable():
        wrong["holder"] = [_("Write the name of the account's holder, in up to 140 characters.")]
    elif len(latin(holder)) < len(holder) // 2:
        wrong["holder"] = [_("Write it in Latin letters, as your bank does.")]
    try:
        iban = ibans.validate(iban)
    except StdnumError:
        wrong["iban"] = [_("This is not an IBAN: its length or its check digits are wrong.")]
    try:
        bic = bics.validate(bic)
    except StdnumError:
        wrong["bic"] = [_("This is not a BIC: it has 8 or 11 letters and digits.")]
    if not wrong and bic[4:6] != iban[:2]:
        wrong["bic"] = [_("The BIC and the IBAN are of different countries.")]
    if wrong:
        raise Invalid(_("Please look at the marked fields."), fields=wrong)
    columns = {"sealed_account": seal(iban), "bic": bic, "holder": holder}
    return _add(organisation, Kind.BANK, actor, display=f"{iban[:2]} ···· {iban[-4:]}", **columns)


@transaction.atomic
def add_usdc(organisation: Organisation, *, chain: str, wallet: LinkedWallet | None, actor: Actor) -> PayoutMethod:
    """To a wallet that the organisation has linked by its signature."""
    _require(Kind.USDC, actor)
    network = networks.network_of(chain)
    organisation = _lock(organisation)  # before the look at the wallet: it may be unlinked just now
    if wallet is None or not links.wallets_of(organisation).filter(pk=wallet.pk).exists():
        message = _("Choose one of your linked wallets.")
        raise Invalid(message, fields={"wallet": [message]})
    shown = f"{network.name} {wallet.address[:6]}…{wallet.address[-4:]}"
    return _add(organisation, Kind.USDC, actor, destination=f"{network.slug}:{wallet.address}", display=shown)


def begin_stripe(organisation: Organisation, *, email: str, return_url: str, refresh_url: str, actor: Actor) -> str:
    """The address of Stripe's pages on which the owner says who they are. Raises Invalid, Conflict, ServiceDown."""
    _require(Kind.STRIPE, actor)
    country = profile_of(organisation).country
    if not country:
        message = _("First say in which country you are taxed.")
        raise Invalid(message, fields={"country": [message]})
    method = methods_of(organisation).filter(kind=Kind.STRIPE).first()
    if method is None:
        method = _add(organisation, Kind.STRIPE, actor, display=email, is_ready=False)
    service = payees(STRIPE)
    if not method.destination:
        try:
            ref = service.open_payee(
                reference=method.public_id, email=email, country=country, request_id=f"payee-{method.pk.hex}"
            )
        except Refused as refusal:
            remove(method, actor=actor)
            message = _("Stripe does not open an account for this country or address (%(why)s).") % {"why": refusal}
            raise Conflict(message, code="payee_refused") from None
        PayoutMethod.objects.filter(pk=method.pk, destination="").update(destination=ref)
        method.refresh_from_db()
    try:
        return service.onboarding_url(method.destination, return_url=return_url, refresh_url=refresh_url)
    except Gone:
        raise Conflict(_("Stripe no longer knows this account. Remove it and begin again."), code="gone") from None


def refresh_stripe(method: PayoutMethod, *, actor: Actor) -> PayoutMethod:
    """What Stripe says of the account now. Who has just satisfied Stripe is identified."""
    if method.kind != Kind.STRIPE or not method.destination:
        return method
    try:
        account = payees(STRIPE).fetch_payee(method.destination)
    except Gone:
        PayoutMethod.objects.filter(pk=method.pk).update(is_ready=False, missing=["gone"])
    else:
        wanted = [name[:120] for name in account.missing]
        with transaction.atomic():
            same = PayoutMethod.objects.filter(pk=method.pk)
            is_new = account.ready and same.filter(is_ready=False).update(is_ready=True)
            same.update(is_ready=account.ready, missing=wanted)
            if is_new:
                _begin_wait(method)
                hear_of_identity(method.organisation, actor=actor)
    method.refresh_from_db()
    return method


def _begin_wait(method: PayoutMethod) -> None:
    """From when it can be paid to, and not from when somebody has begun to set it up."""
    method.payable_from = now() + settings.PAYOUT_METHOD_DELAY
    method.save(update_fields=["payable_from"])
    _tell(method, "added", gettext_lazy("A payout method was added"), mail="payout_method")


def hear_of_stripe(ref: str) -> None:
    """A notification is about this account."""
    for method in PayoutMethod.objects.filter(kind=Kind.STRIPE, destination=ref, removed_at=None):
        refresh_stripe(method, actor=actors.worker("payouts"))


@transaction.atomic
def make_default(method: PayoutMethod, *, actor: Actor) -> None:
    """The next payouts go there. For people, as adding one; those who look after the money are told."""
    require_person(actor)
    organisation = _lock(method.organisation)
    own = methods_of(organisation)
    if own.filter(pk=method.pk, is_default=False).exists():
        own.update(is_default=False)
        _lead(method, actor)


@transaction.atomic
@audit.at_the_end()
def remove(method: PayoutMethod, *, actor: Actor) -> None:
    """What waits to be paid to it is called off, what has left goes on; the next method takes its place."""
    require_person(actor)
    organisation = _lock(method.organisation)
    same = PayoutMethod.objects.filter(pk=method.pk, removed_at=None)
    if not same.update(removed_at=now(), is_default=False):
        return
    # All of them before the first posting: whoever calls one off holds it, and posts then.
    for payout in method.payouts.filter(status=PayoutStatus.NEW).select_for_update(no_key=True).order_by("pk"):
        with suppress(Conflict):  # it has left at this very moment
            deciding.cancel(payout, actor=actor, reason="method_removed")
    audit.record(organisation.pk, actor, "payout_method.remove", method)
    following = methods_of(organisation).first()
    if following is not None and not following.is_default:
        _lead(following, actor)


def iban_of(method: PayoutMethod) -> str:
    """For the bank file alone."""
    assert method.sealed_account is not None
    return unseal(bytes(method.sealed_account))


def _lead(method: PayoutMethod, actor: Actor) -> None:
    """Under the organisation's lock, when none leads."""
    PayoutMethod.objects.filter(pk=method.pk).update(is_default=True)
    audit.record(method.organisation_id, actor, "payout_method.make_default", method, {"display": method.display})
    _tell(method, "default", gettext_lazy("You are paid elsewhere from now on"), mail="payout_default")


def _tell(method: PayoutMethod, event: str, title: StrOrPromise, *, mail: str) -> None:
    tell(
        method.organisation,
        permission=Permission.SEE_BILLING,
        kind=f"payout_method.{event}",
        title=title,
        body=str(method),
        page=reverse(PAGE),
        mail=f"billing/mail/{mail}",
        context={"method": method},
    )


@transaction.atomic
def _add(organisation: Organisation, kind: str, actor: Actor, **columns: Any) -> PayoutMethod:
    organisation = _lock(organisation)
    for known in methods_of(organisation).filter(kind=kind):
        if _is_same(known, columns):
            return known
    method = PayoutMethod.objects.create(
        organisation=organisation,
        kind=kind,
        is_default=default_of(organisation) is None,
        payable_from=now() + settings.PAYOUT_METHOD_DELAY,
        **columns,
    )
    audit.record(organisation.pk, actor, "payout_method.add", method, {"kind": kind, "display": method.display})
    _tell(method, "added", gettext_lazy("A payout method was added"), mail="payout_method")
    return method


def _is_same(known: PayoutMethod, columns: dict[str, Any]) -> bool:
    if known.kind == Kind.BANK:
        given = (unseal(columns["sealed_account"]), columns["bic"], columns["holder"])
        return (iban_of(known), known.bic, known.holder) == given
    return known.destination == str(columns.get("destination", ""))


def _lock(organisation: Organisation) -> Organisation:
    return Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)


def _require(kind: str, actor: Actor) -> None:
    """People only: a stolen key of a program must not lead money elsewhere."""
    require_person(actor)
    if kind not in configured():
        name = Kind(kind).label
        raise NotConfigured(_("Payouts by %(name)s are not set up on this installation.") % {"name": name})
