"""One row of each kind that belongs to an organisation or a person, and a way to see that nothing was changed."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID, uuid4

from tests.people import Person, give_team_plan

if TYPE_CHECKING:
    from accounts.models import Organisation
    from billing.models import Dispute, Payout, Withdrawal

# What calls themselves leave behind, and nothing of a customer: pages their session, programs their token too.
SESSIONS = frozenset({"django_session"})
TOKENS = SESSIONS | {"accounts_apisignin", "accounts_idempotencykey"}


class Theirs(NamedTuple):
    """What an organisation has; the addresses and bodies of the calls name these."""

    organisation_id: str
    member_id: str
    invitation_id: str
    key_id: str
    pod_id: str
    config_id: str
    account_id: str
    node_id: str
    payment_id: str
    card_id: str
    invoice_id: str
    enrolment_id: str
    message_id: str
    sign_in_id: str
    order_id: str
    tx_id: str
    wallet_id: str
    withdrawal_id: str
    payout_id: str
    way_id: str
    dispute_id: str
    evidence_id: str
    email: str


def make_rows(organisation: Organisation, owner: Person) -> Theirs:
    from accounts.models import ApiKey, ApiSignIn, Invitation, Member
    from billing.invoices import issue_for_payment
    from billing.models import Payment, PaymentMethod
    from enrollment.models import Enrolment
    from notifications.inbox import notify
    from pods.models import Mode, Payer, Pod, PodConfig

    give_team_plan(organisation)
    pod = Pod.objects.create(organisation=organisation, name="job", mode=Mode.SANDBOX, payer=Payer.CREDITS)
    config = PodConfig.objects.create(organisation=organisation, name="job", mode=Mode.SANDBOX, payer=Payer.CREDITS)
    payment = Payment.objects.create(
        organisation=organisation, purpose=Payment.Purpose.TOP_UP, amount=25, order_ref="ORDER1"
    )
    card = PaymentMethod.objects.create(
        organisation=organisation, service="stripe", ref="pm_1", brand="visa", last4="4242", exp_month=1, exp_year=2040
    )
    enrolment = Enrolment.objects.create(
        organisation=organisation, user=owner.user, plan_id="pro", country="EC", payment=payment
    )
    dispute = make_dispute(organisation, pod.pk)
    owner.api("post", "auth/api-keys", {"name": "ci", "scopes": ["pods.see"]})
    owner.api("post", "invitations/", {"email": "guest@example.com", "role": "viewer"})
    return Theirs(
        organisation_id=organisation.public_id,
        member_id=Member.objects.get(user=owner.user).public_id,
        invitation_id=Invitation.objects.get().public_id,
        key_id=ApiKey.objects.get().public_id,
        pod_id=pod.public_id,
        config_id=config.public_id,
        **make_machines(organisation),
        payment_id=payment.public_id,
        card_id=card.public_id,
        invoice_id=issue_for_payment(payment).public_id,
        enrolment_id=enrolment.public_id,
        message_id=notify(organisation, kind="pod.running", title="It runs")[0].public_id,
        sign_in_id=ApiSignIn.objects.get(user=owner.user).public_id,
        order_id="ORDER1",
        tx_id=str(uuid4()),
        **make_money_out(organisation),
        dispute_id=dispute.public_id,
        evidence_id=dispute.evidence.get().public_id,
        email=owner.user.email,
    )


def make_machines(organisation: Organisation) -> dict[str, str]:
    """Where its pods run: with its own key, and on its own node."""
    from catalyst.models import Node
    from lib.secrets import seal
    from marketplace.models import Provider, ProviderAccount

    provider, _made = Provider.objects.get_or_create(slug="vast", defaults={"name": "Vast.ai"})
    account = ProviderAccount.objects.create(
        organisation=organisation, provider=provider, name="ours", sealed_key=seal("secret"), key_hint="cret"
    )
    node = Node.objects.create(organisation=organisation, name="attic")
    return {"account_id": account.public_id, "node_id": node.public_id}


def make_dispute(organisation: Organisation, pod_id: UUID) -> Dispute:
    """With the owner of a machine, to whom something was paid; a file of the renter's lies with it."""
    from django.core.files.uploadedfile import SimpleUploadedFile

    from accounts.actor import worker
    from billing.disputes import evidence
    from billing.models import Dispute
    from lib.clock import now
    from tests.people import make_organisation

    dispute = Dispute.objects.create(
        renter=organisation,
        owner=make_organisation("Machines"),
        pod_id=pod_id,
        pod_name="job",
        usage_from=now(),
        usage_until=now(),
        paid=Decimal(2),
        earned=Decimal("1.7"),
        amount=Decimal(1),
        currency="USD",
        reason="other",
        text="It stood still.",
        idempotency_key="tenancy",
    )
    evidence.hand_in(
        dispute=dispute, side=organisation, file=SimpleUploadedFile("log.txt", b"stood still"), actor=worker("tests")
    )
    return dispute


def make_money_out(organisation: Organisation) -> dict[str, str]:
    """Where its money goes, and what is on its way there."""
    from billing.models import LinkedWallet

    payout = make_payout(organisation)
    return {
        "wallet_id": LinkedWallet.objects.create(organisation=organisation, address="0x" + "a" * 40).public_id,
        "withdrawal_id": make_withdrawal(organisation).public_id,
        "payout_id": payout.public_id,
        "way_id": payout.method.public_id,
    }


def make_payout(organisation: Organisation) -> Payout:
    from billing.accounts import Kind, account_of
    from billing.ledger import post
    from billing.models import Payout, PayoutMethod
    from billing.payouts import books
    from lib.clock import now
    from tests.billing.money import leg, opening

    method = PayoutMethod.objects.create(
        organisation=organisation, kind="paypal", destination="us@example.com", payable_from=now()
    )
    post([leg(opening(), account_of(organisation, Kind.EARNINGS, "USD"), "20")])
    payout = Payout.objects.create(
        organisation=organisation,
        method=method,
        kind="paypal",
        amount=Decimal(20),
        currency="USD",
        not_before=now(),
        idempotency_key="tenancy",
    )
    books.hold(payout)
    return payout


def make_withdrawal(organisation: Organisation) -> Withdrawal:
    from billing.chain import books
    from billing.models import Withdrawal
    from lib.clock import now
    from tests.billing.money import fund

    fund(organisation, "5", "USDC")
    withdrawal = Withdrawal.objects.create(
        organisation=organisation,
        chain="sandbox",
        address="0x" + "b" * 40,
        amount=Decimal(5),
        status="waiting",
        not_before=now(),
        idempotency_key="tenancy",
    )
    books.hold(withdrawal)
    return withdrawal


def state(*, without: frozenset[str] = TOKENS) -> dict[str, str]:
    """A digest of every other table."""
    from django.db import connection

    with connection.cursor() as cursor:
        tables = [name for name in connection.introspection.table_names(cursor) if name not in without]
        digest = "SELECT '{0}', md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM \"{0}\" t"
        cursor.execute(" UNION ALL ".join(digest.format(table) for table in tables))
        return dict(cursor.fetchall())
