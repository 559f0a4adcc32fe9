"""The ledger: money moves here and nowhere else, in one call, all legs or none.

Every function works inside the caller's transaction. A refusal (`Overdraft` and its siblings) has written nothing, so
that the caller may catch it and go on in the same transaction. Ids come from the caller and make repeating harmless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid5

from django.db import IntegrityError, connection
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _
from psycopg import Cursor
from psycopg.types.json import Jsonb

from billing.models import Account, Transfer
from lib.clock import now
from lib.errors import PaymentRequired
from lib.money import round_money

NAMESPACE = UUID("6f0d1c2e-7a51-5c0e-9d3b-2f1b7a1f4e10")
State = Transfer.State
STATES = frozenset(State.values)
SETTLING = {State.POST_PENDING, State.VOID_PENDING}
MOVING = (State.POSTED, State.POST_PENDING)


class LedgerError(Exception):
    """A leg that no caller should have made: a mistake in our own code."""


class DifferentBody(LedgerError):
    """This id is stored with another amount, account or source."""

    def __init__(self, transfer_id: UUID | None) -> None:
        super().__init__(f"transfer {transfer_id} is stored with another body")
        self.transfer_id = transfer_id


class HoldSettled(LedgerError):
    """The hold was captured, released or has expired before."""

    def __init__(self, hold_id: UUID) -> None:
        super().__init__(f"hold {hold_id} is settled already")
        self.hold_id = hold_id


class Overdraft(PaymentRequired):
    """The account cannot pay this. A door answers 402."""

    code = "insufficient_funds"

    def __init__(self, account_id: UUID | None) -> None:
        super().__init__(_("The balance does not cover this."))
        self.account_id = account_id


@dataclass(frozen=True, slots=True)
class Leg:
    """One transfer from `debit` to `credit` (account ids).

    `state` is posted, pending (a hold, until `expires_at`), post_pending (captures the hold `pending_id`; what it leaves
    of it is released) or void_pending (releases it; amount 0). The last two name the sum that the hold `held`.
    """

    id: UUID
    debit: UUID
    credit: UUID
    amount: Decimal
    currency: str
    source_type: str
    source_id: str
    memo: str = ""
    state: str = State.POSTED
    pending_id: UUID | None = None
    expires_at: datetime | None = None
    held: Decimal = Decimal(0)


def transfer_id(*parts: object) -> UUID:
    """The id of the transfer with this cause, the same each time: `transfer_id("usage", usage.id, "operator")`."""
    return uuid5(NAMESPACE, "/".join(str(part) for part in parts))


def post(legs: Sequence[Leg]) -> None:
    """Post all legs or none. Legs that are stored with the same body count as posted.

    Raises Overdraft, DifferentBody, HoldSettled, and LedgerError for legs that make no sense.
    """
    legs = _checked(legs)
    if not legs:
        return
    try:
        verdict, subject = _call(legs)
    except IntegrityError as error:
        raise _as_refusal(error) from error
    if verdict != "ok":
        raise _refusal(verdict, subject)


def _call(legs: Sequence[Leg]) -> tuple[str, UUID | None]:
    """In the caller's transaction, by a statement that each connection prepares once: parsing and planning the call
    each time would cost a tenth of it, and Django's own cursor cannot keep it."""
    connection.ensure_connection()
    with connection.wrap_database_errors, Cursor(connection.connection) as cursor:
        given = Jsonb([_plain(leg) for leg in legs])
        cursor.execute("SELECT verdict, subject FROM ledger_post(%s)", [given], prepare=True)
        ((verdict, subject),) = cursor.fetchall()
    return verdict, subject


def _plain(leg: Leg) -> dict[str, str]:
    """A leg in the words of `ledger_leg`; what it does not have is left out."""
    plain = {
        "id": str(leg.id),
        "debit": str(leg.debit),
        "credit": str(leg.credit),
        "amount": str(leg.amount),
        "currency": leg.currency,
        "state": str(leg.state),
        "source_type": leg.source_type,
        "source_id": leg.source_id,
        "memo": leg.memo,
    }
    if leg.pending_id is not None:
        plain |= {"pending": str(leg.pending_id), "held": str(leg.held)}
    if leg.expires_at is not None:
        plain["expires_at"] = leg.expires_at.isoformat()
    return plain


def hold(
    *,
    id: UUID,
    debit: UUID,
    credit: UUID,
    amount: Decimal,
    currency: str,
    source_type: str,
    source_id: str,
    expires_at: datetime,
    memo: str = "",
) -> None:
    """Set money aside until it is captured, released or `expires_at` has passed."""
    post([Leg(id, debit, credit, amount, currency, source_type, source_id, memo, State.PENDING, None, expires_at)])


def settling_leg(
    held: Transfer, amount: Decimal, *, id: UUID, source: tuple[str, str] | None = None, memo: str = ""
) -> Leg:
    """The leg that captures `amount` of a hold and releases the rest; amount 0 releases all of it."""
    return Leg(
        id=id,
        debit=held.debit_account_id,
        credit=held.credit_account_id,
        amount=amount,
        currency=held.currency,
        source_type=source[0] if source else held.source_type,
        source_id=source[1] if source else held.source_id,
        memo=memo or held.memo,
        state=State.POST_PENDING if amount else State.VOID_PENDING,
        pending_id=held.pk,
        held=held.amount,
    )


def find_hold(hold_id: UUID) -> Transfer:
    """A hold as it was made. Rows of the ledger never change, so no lock is needed to read one."""
    held = Transfer.objects.filter(pk=hold_id, state=State.PENDING).first()
    if held is None:
        raise LedgerError(f"there is no hold {hold_id}")
    return held


def capture(hold_id: UUID, amount: Decimal, *, id: UUID, extra_legs: Sequence[Leg] = ()) -> None:
    """Capture up to the held amount and release the rest, together with `extra_legs`."""
    post([settling_leg(find_hold(hold_id), amount, id=id), *extra_legs])


def release(hold_id: UUID, *, id: UUID) -> None:
    post([settling_leg(find_hold(hold_id), Decimal(0), id=id)])


def available(account: Account) -> Decimal:
    """What can be spent now: posted, less what is held."""
    row = Account.objects.get(pk=account.pk)
    return row.credits_posted - row.debits_posted - row.debits_pending


def expire_holds(*, since: timedelta | None = timedelta(hours=2), limit: int = 500) -> int:
    """Release holds whose time has passed. `since` bounds the look back, as settled holds stay for ever."""
    moment = now()
    settled = Transfer.objects.filter(pending=OuterRef("pk"))
    due = Transfer.objects.filter(~Exists(settled), state=State.PENDING, expires_at__lte=moment)
    if since is not None:
        due = due.filter(expires_at__gt=moment - since)
    expired = 0
    for held in due.order_by("expires_at")[:limit]:
        try:
            post([settling_leg(held, Decimal(0), id=transfer_id("expiry", held.pk))])
        except HoldSettled:
            continue  # captured at this very moment
        expired += 1
    return expired


def check() -> list[str]:
    """What is wrong with the books, one line each; empty when they balance."""
    problems = []
    with connection.cursor() as cursor:
        for query, words in CHECKS:
            cursor.execute(query)
            problems += [words.format(*row) for row in cursor.fetchall()]
    return problems


CHECKS = [
    (
        """
        SELECT account.id, account.debits_posted, coalesce(d.moved, 0), account.credits_posted, coalesce(c.moved, 0),
            account.debits_pending, coalesce(d.held, 0), account.credits_pending, coalesce(c.held, 0)
        FROM billing_account AS account
        LEFT JOIN (
            SELECT row_.debit_account_id AS id, sum(row_.amount) FILTER (WHERE row_.state <> 'pending') AS moved,
                sum(row_.amount) FILTER (WHERE row_.state = 'pending' AND settlement.id IS NULL) AS held
            FROM billing_transfer AS row_ LEFT JOIN billing_transfer AS settlement ON settlement.pending_id = row_.id
            GROUP BY 1) AS d USING (id)
        LEFT JOIN (
            SELECT row_.credit_account_id AS id, sum(row_.amount) FILTER (WHERE row_.state <> 'pending') AS moved,
                sum(row_.amount) FILTER (WHERE row_.state = 'pending' AND settlement.id IS NULL) AS held
            FROM billing_transfer AS row_ LEFT JOIN billing_transfer AS settlement ON settlement.pending_id = row_.id
            GROUP BY 1) AS c USING (id)
        WHERE (account.debits_posted, account.credits_posted, account.debits_pending, account.credits_pending)
            <> (coalesce(d.moved, 0), coalesce(c.moved, 0), coalesce(d.held, 0), coalesce(c.held, 0))
        """,
        "account {0}: debits {1} but transfers say {2}; credits {3} / {4}; held out {5} / {6}; held in {7} / {8}",
    ),
    (
        """
        SELECT currency, sum(debits_posted), sum(credits_posted), sum(debits_pending), sum(credits_pending)
        FROM billing_account GROUP BY currency
        HAVING sum(debits_posted) <> sum(credits_posted) OR sum(debits_pending) <> sum(credits_pending)
        """,
        "{0} does not sum to zero: debits {1}, credits {2}, held out {3}, held in {4}",
    ),
    (
        """
        SELECT row_.id, row_.currency, debit.currency, credit.currency FROM billing_transfer AS row_
        LEFT JOIN billing_account AS debit ON debit.id = row_.debit_account_id
        LEFT JOIN billing_account AS credit ON credit.id = row_.credit_account_id
        WHERE row_.currency IS DISTINCT FROM debit.currency OR row_.currency IS DISTINCT FROM credit.currency
        """,
        "transfer {0} is in {1} between accounts in {2} and {3}",
    ),
    (
        """
        SELECT settlement.id, settlement.pending_id FROM billing_transfer AS settlement
        LEFT JOIN billing_transfer AS hold ON hold.id = settlement.pending_id AND hold.state = 'pending'
            AND (settlement.debit_account_id, settlement.credit_account_id, settlement.currency)
                = (hold.debit_account_id, hold.credit_account_id, hold.currency) AND settlement.amount <= hold.amount
        WHERE (settlement.pending_id IS NOT NULL) <> (settlement.state IN ('post_pending', 'void_pending'))
            OR (settlement.pending_id IS NOT NULL AND hold.id IS NULL)
        """,
        "transfer {0} does not fit the hold {1} that it settles",
    ),
    (
        """
        SELECT hold.id, hold.expires_at FROM billing_transfer AS hold
        WHERE hold.state = 'pending' AND hold.expires_at < now() - interval '1 day'
            AND NOT EXISTS (SELECT FROM billing_transfer AS settlement WHERE settlement.pending_id = hold.id)
        """,
        "hold {0} has expired at {1} and is still open",
    ),
]


def _checked(legs: Sequence[Leg]) -> list[Leg]:
    unique = {leg.id: leg for leg in legs}
    holds = [leg.pending_id for leg in unique.values() if leg.pending_id]
    if len(set(holds)) != len(holds):
        raise LedgerError("a hold is settled twice in one call")
    for leg in legs:
        if leg is not unique[leg.id] and leg != unique[leg.id]:
            raise DifferentBody(leg.id)
        if leg.amount != round_money(leg.amount) or (leg.amount <= 0 and leg.state != State.VOID_PENDING):
            raise LedgerError(f"{leg.amount} is not an amount of the ledger")
        if (leg.state in SETTLING) != (leg.pending_id is not None) or leg.state not in STATES:
            raise LedgerError(f"a leg of state {leg.state} with hold {leg.pending_id}")
        if leg.state == State.PENDING and leg.expires_at is None:
            raise LedgerError("a hold needs a time at which it expires")
    return list(unique.values())


def _refusal(verdict: str, subject: UUID | None) -> Exception:
    if verdict == "overdraft":
        return Overdraft(subject)
    if verdict == "different_body":
        return DifferentBody(subject)
    if verdict == "settled" and subject:
        return HoldSettled(subject)
    return LedgerError(f"{verdict}: {subject}")


def _as_refusal(error: IntegrityError) -> Exception:
    """The constraints say the same as the function; they are there for what it might overlook."""
    diagnostics = getattr(error.__cause__, "diag", None)
    constraint = getattr(diagnostics, "constraint_name", None)
    if constraint == "account_no_overdraft":
        return Overdraft(None)
    if constraint == "billing_transfer_pkey":
        return DifferentBody(None)
    return error
