"""USDC on EVM chains: linked wallets, deposits, withdrawals with their transactions, and what a scanner remembers."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from billing.states import DepositStatus, WithdrawalStatus
from lib.ids import encode_id, new_id

ADDRESS_LENGTH = 42  # 0x and 40 hexadecimal digits, in the spelling of EIP-55
HASH_LENGTH = 66


class ChainCursor(models.Model):
    """How far a chain has been read. One row for each chain."""

    chain = models.CharField(_("chain"), max_length=16, primary_key=True)
    block_number = models.BigIntegerField(_("block"), default=0)
    finalized_number = models.BigIntegerField(_("final block"), default=0)
    checked_at = models.DateTimeField(_("checked"), null=True, blank=True)
    last_error = models.CharField(_("last error"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("chain cursor")
        verbose_name_plural = _("chain cursors")

    def __str__(self) -> str:
        return f"{self.chain} {self.block_number}"


class LinkNonce(models.Model):
    """What a wallet signs to be linked: used once, for five minutes, by the person and organisation that asked."""

    nonce = models.CharField(max_length=32, primary_key=True)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("wallet nonce")
        verbose_name_plural = _("wallet nonces")

    def __str__(self) -> str:
        return self.nonce[:4]


class LinkedWallet(models.Model):
    """An address that an organisation has shown to be its own. Deposits from it are the organisation's."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="linked_wallets")
    address = models.CharField(_("address"), max_length=ADDRESS_LENGTH)
    linked_at = models.DateTimeField(_("linked"), db_default=Now(), editable=False)
    unlinked_at = models.DateTimeField(_("unlinked"), null=True, blank=True)

    class Meta:
        verbose_name = _("linked wallet")
        verbose_name_plural = _("linked wallets")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["address"], condition=Q(unlinked_at__isnull=True), name="linked_wallet_once"
            ),
        ]

    def __str__(self) -> str:
        return self.address

    @property
    def public_id(self) -> str:
        return encode_id("wlt", self.pk)


class Deposit(models.Model):
    """A token transfer to our treasury, as the chain logged it. `round` counts how often it was taken back."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    chain = models.CharField(_("chain"), max_length=16)
    tx_hash = models.CharField(_("transaction"), max_length=HASH_LENGTH)
    log_index = models.PositiveIntegerField()
    block_number = models.BigIntegerField(_("block"))
    block_hash = models.CharField(max_length=HASH_LENGTH)
    sender = models.CharField(_("sender"), max_length=ADDRESS_LENGTH)
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=6)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, null=True, blank=True, related_name="deposits"
    )
    status = models.CharField(_("status"), max_length=12, choices=DepositStatus.choices)
    reason = models.CharField(max_length=48, blank=True)
    confirmations = models.PositiveIntegerField(default=0)
    round = models.PositiveSmallIntegerField(default=0)
    seen_at = models.DateTimeField(_("seen"), db_default=Now(), editable=False)
    credited_at = models.DateTimeField(_("credited"), null=True, blank=True)

    class Meta:
        verbose_name = _("deposit")
        verbose_name_plural = _("deposits")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["chain", "tx_hash", "log_index"], name="deposit_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="deposit_positive"),
            models.CheckConstraint(
                condition=~Q(status="credited") | Q(organisation__isnull=False), name="deposit_credited_to_somebody"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["organisation", "-id"], name="deposit_by_organisation"),
            models.Index(fields=["chain", "block_number"], name="deposit_by_block"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} USDC {self.chain}"

    @property
    def public_id(self) -> str:
        return encode_id("dep", self.pk)


class Withdrawal(models.Model):
    """USDC on its way out. `signer` and `nonce` are given once; every attempt to send it carries the same nonce."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="withdrawals")
    chain = models.CharField(_("chain"), max_length=16)
    address = models.CharField(_("to"), max_length=ADDRESS_LENGTH)
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=6)
    status = models.CharField(_("status"), max_length=12, choices=WithdrawalStatus.choices)
    reason = models.CharField(max_length=48, blank=True)
    not_before = models.DateTimeField(_("not before"))
    needs_approval = models.BooleanField(_("needs approval"), default=False)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    approved_at = models.DateTimeField(_("approved"), null=True, blank=True)
    signer = models.CharField(_("signer"), max_length=ADDRESS_LENGTH, blank=True)
    nonce = models.BigIntegerField(null=True, blank=True)
    tx_hash = models.CharField(_("transaction"), max_length=HASH_LENGTH, blank=True)  # the attempt that was mined
    idempotency_key = models.CharField(max_length=120, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    checked_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("withdrawal")
        verbose_name_plural = _("withdrawals")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["organisation", "idempotency_key"], name="withdrawal_started_once"),
            models.UniqueConstraint(
                fields=["chain", "signer", "nonce"], condition=Q(nonce__isnull=False), name="withdrawal_nonce_once"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="withdrawal_positive"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["organisation", "-id"], name="withdrawal_by_organisation"),
            models.Index(
                fields=["chain", "checked_at"],
                condition=Q(status__in=["waiting", "queued", "signed", "sent"]),
                name="withdrawal_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} USDC {self.chain}"

    @property
    def public_id(self) -> str:
        return encode_id("wdr", self.pk)


class WithdrawalAttempt(models.Model):
    """The outbox: a signed transaction, stored before it is broadcast. Only one of a withdrawal's can be mined."""

    withdrawal = models.ForeignKey(Withdrawal, on_delete=models.PROTECT, related_name="attempts")
    number = models.PositiveSmallIntegerField()
    tx_hash = models.CharField(_("transaction"), max_length=HASH_LENGTH, unique=True)
    raw = models.TextField(editable=False)
    gas = models.BigIntegerField()
    max_fee_wei = models.BigIntegerField()
    priority_fee_wei = models.BigIntegerField()
    signed_at = models.DateTimeField(_("signed"), db_default=Now(), editable=False)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)

    class Meta:
        verbose_name = _("withdrawal attempt")
        verbose_name_plural = _("withdrawal attempts")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["withdrawal", "number"], name="withdrawal_attempt_once"),
        ]

    def __str__(self) -> str:
        return self.tx_hash


class ChainAlarm(models.Model):
    """Something that a person must look at: a credited deposit that vanished, an RPC that contradicts itself."""

    class Kind(models.TextChoices):
        VANISHED = "vanished", _("a credited deposit vanished")
        DISPUTED = "disputed", _("nodes do not agree on a deposit")
        REVERTED = "reverted", _("a withdrawal failed on the chain")
        STUCK = "stuck", _("a withdrawal is not mined")

    chain = models.CharField(_("chain"), max_length=16)
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    subject = models.CharField(_("about"), max_length=64)  # the public id of a deposit or withdrawal
    detail = models.CharField(_("detail"), max_length=300, blank=True)
    created_at = models.DateTimeField(_("raised"), db_default=Now(), editable=False)
    resolved_at = models.DateTimeField(_("resolved"), null=True, blank=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )

    class Meta:
        verbose_name = _("chain alarm")
        verbose_name_plural = _("chain alarms")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # Raised once until somebody has looked: a scan repeats every few seconds.
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=Q(resolved_at__isnull=True), name="chain_alarm_open_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"
