"""Wallets that belong to an organisation, shown by a signature (Sign-In with Ethereum, EIP-4361).

Only wallets with a key of their own: contract wallets (EIP-1271) sign in another way and are refused.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import audit
from accounts.access import require_person
from accounts.actor import Actor
from accounts.models import Organisation, User
from accounts.roles import Permission
from billing.chain.networks import Network, configured
from billing.models import LinkedWallet, LinkNonce
from lib.clock import now
from lib.errors import Conflict, Invalid
from notifications.news import tell

if TYPE_CHECKING:
    from siwe import SiweMessage

NONCE_LIFE = timedelta(minutes=5)
LONGEST_MESSAGE = 2000


def new_message(*, organisation: Organisation, address: str, network: Network, actor: Actor) -> tuple[LinkNonce, str]:
    """What the wallet is to sign within five minutes. Raises Invalid for what is no address, Forbidden for programs."""
    from siwe import ISO8601Datetime, SiweMessage, generate_nonce

    person = require_person(actor)
    address = parse_address(address)
    nonce = LinkNonce.objects.create(
        nonce=generate_nonce(), organisation=organisation, user=person, expires_at=now() + NONCE_LIFE
    )
    message = SiweMessage(
        domain=_domain(),
        address=address,
        uri=settings.PUBLIC_URL,
        version="1",
        chain_id=network.chain_id,
        issued_at=ISO8601Datetime.from_datetime(now()),
        nonce=nonce.nonce,
        # Signed texts are ASCII, and the same in each language.
        statement="Link this wallet to GPUBroker. This costs nothing and moves nothing.",
        expiration_time=ISO8601Datetime.from_datetime(nonce.expires_at),
    )
    return nonce, message.prepare_message()


def link(*, organisation: Organisation, message: str, signature: str, actor: Actor) -> LinkedWallet:
    """The organisation's wallet whose key signed the message. The nonce is spent, whether the signature is good or not.

    Raises Invalid for a message that is not ours, or not signed by its address; Conflict for a wallet of another's,
    Forbidden for programs.
    """
    person = require_person(actor)
    parsed = _parse(message)
    _spend(parsed.nonce, organisation, person)
    _verify(parsed, signature)
    own = LinkedWallet.objects.filter(organisation=organisation, address=parsed.address, unlinked_at=None).first()
    if own is not None:
        return own
    try:
        with transaction.atomic():
            wallet = LinkedWallet.objects.create(organisation=organisation, address=parsed.address)
            audit.record(organisation.pk, actor, "wallet.link", wallet, {"address": wallet.address})
            _tell(wallet)
    except IntegrityError:
        message_ = _("This wallet is linked to another organisation.")
        raise Conflict(message_, code="wallet_taken") from None
    return wallet


@transaction.atomic
def unlink(wallet: LinkedWallet, *, actor: Actor) -> None:
    """What comes from it from now on waits for a claim. Deposits that were seen before stay the organisation's."""
    if LinkedWallet.objects.filter(pk=wallet.pk, unlinked_at=None).update(unlinked_at=now()):
        audit.record(wallet.organisation_id, actor, "wallet.unlink", wallet, {"address": wallet.address})


def wallets_of(organisation: Organisation) -> QuerySet[LinkedWallet]:
    return LinkedWallet.objects.filter(organisation=organisation, unlinked_at=None).order_by("pk")


def parse_address(text: str) -> str:
    """In the spelling of EIP-55. One that is spelled with another checksum has a typing error. Raises Invalid."""
    from eth_utils.address import is_address, is_checksum_address, is_hex_address, to_checksum_address

    text = text.strip()
    mixed = text[2:] not in {text[2:].lower(), text[2:].upper()}
    if not is_hex_address(text) or not is_address(text) or not text.startswith("0x"):
        raise _bad_address(_("An address is 0x and 40 digits from 0 to f."))
    if mixed and not is_checksum_address(text):
        raise _bad_address(_("Small and capital letters do not fit: check the address for a typing error."))
    if int(text, 16) == 0:
        raise _bad_address(_("This address belongs to nobody."))
    return to_checksum_address(text)


def forget_nonces() -> int:
    deleted, _by_model = LinkNonce.objects.filter(expires_at__lt=now() - timedelta(days=1)).delete()
    return deleted


def _tell(wallet: LinkedWallet) -> None:
    """The wait before money can be withdrawn to it begins now."""
    tell(
        wallet.organisation,
        permission=Permission.SEE_BILLING,
        kind="wallet.linked",
        title=gettext_lazy("A wallet was linked"),
        body=wallet.address,
        page=reverse("billing:usdc"),
        mail="billing/mail/wallet_linked",
        context={"wallet": wallet, "from": now() + settings.WITHDRAWAL_DELAY},
    )


def _bad_address(message: str) -> Invalid:
    return Invalid(message, code="bad_address", fields={"address": [message]})


def _domain() -> str:
    return urlsplit(settings.PUBLIC_URL).netloc


def _parse(message: str) -> SiweMessage:
    from siwe import SiweMessage

    try:
        if len(message) > LONGEST_MESSAGE:
            raise ValueError
        return SiweMessage.from_message(message)
    except ValueError:  # pydantic's too
        words = _("This is not a message of Sign-In with Ethereum.")
        raise Invalid(words, code="bad_message", fields={"message": [words]}) from None


def _spend(nonce: str, organisation: Organisation, person: User) -> None:
    """One UPDATE, so that of two requests at once one finds nothing."""
    moment = now()
    fitting = LinkNonce.objects.filter(
        nonce=nonce, organisation=organisation, user=person, used_at=None, expires_at__gt=moment
    )
    if not fitting.update(used_at=moment):
        words = _("This message has expired or was used. Ask for a new one.")
        raise Invalid(words, code="bad_nonce", fields={"message": [words]})


def _verify(parsed: SiweMessage, signature: str) -> None:
    from eth_keys.exceptions import BadSignature
    from siwe import VerificationError

    chains = {network.chain_id for network in configured()}
    if parsed.chain_id not in chains or not str(parsed.uri).startswith(settings.PUBLIC_URL):
        words = _("This message was made for another site or chain.")
        raise Invalid(words, code="wrong_site", fields={"message": [words]})
    try:
        parsed.verify(signature, domain=_domain(), nonce=parsed.nonce, timestamp=now())
    except (VerificationError, BadSignature, ValueError, TypeError):
        words = _("This is not the signature of that wallet.")
        raise Invalid(words, code="bad_signature", fields={"signature": [words]}) from None
