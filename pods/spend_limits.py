"""What may be spent in a month: by an organisation, and by each member through the pods that they started."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.urls import reverse
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import audit
from accounts.actor import Actor
from accounts.models import Member, Organisation, User
from accounts.roles import Permission
from lib.clock import now
from lib.errors import Conflict, Invalid, NotFound
from lib.money import parse_amount
from notifications.inbox import notify
from pods.models import MonthSpend, Payer, SpendLimit

CURRENCY = "USD"
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Room:
    """What a limit leaves in this month."""

    left: Decimal
    limit: SpendLimit

    @property
    def message(self) -> str:
        if self.limit.person_id:
            return _("This month's limit of %s USD for who started it is reached.") % f"{self.limit.hard:.2f}"
        return _("This month's limit of %s USD for the organisation is reached.") % f"{self.limit.hard:.2f}"


def month_start() -> datetime:
    return now().astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def spent(organisation: Organisation, person: User | None = None) -> Decimal:
    """From the wallet, since the month began; by the pods of one person when one is named."""
    row = _sums(organisation).filter(person=person).first()
    return row.amount if row else ZERO


def lock(organisation: Organisation, person: User | None) -> list[UUID]:
    """This month's sums, which nobody else changes until the transaction ends. Before any account is locked."""
    wanted = {None, person.pk if person else None}
    rows = _locked(organisation, wanted)
    if len(rows) < len(wanted):
        month = month_start().date()
        fresh = [MonthSpend(organisation=organisation, person_id=pk, month=month) for pk in wanted]
        MonthSpend.objects.bulk_create(fresh, ignore_conflicts=True)
        rows = _locked(organisation, wanted)
    return [row.pk for row in rows]


def count(locked: list[UUID], charged: Decimal) -> None:
    """Of what was locked, in the transaction of the charge."""
    MonthSpend.objects.filter(pk__in=locked).update(amount=F("amount") + charged)


def _locked(organisation: Organisation, people: set[UUID | None]) -> list[MonthSpend]:
    anybody = Q(person__in=[pk for pk in people if pk is not None])
    rows = _sums(organisation).filter(anybody | Q(person=None)).order_by(F("person").asc(nulls_first=True))
    return list(rows.select_for_update(no_key=True))


def _sums(organisation: Organisation) -> QuerySet[MonthSpend]:
    return MonthSpend.objects.filter(organisation=organisation, month=month_start().date())


def _by_person(sums: QuerySet[MonthSpend]) -> dict[UUID | None, Decimal]:
    return {row.person_id: row.amount for row in sums}


def _who(person: User | None) -> Q:
    return Q(person=None) | Q(person=person) if person else Q(person=None)


def room_for(organisation: Organisation, person: User | None, *, payer: str) -> Room | None:
    """The narrowest of the limits that hold for a pod which `person` starts or has started. None: there is no limit."""
    if payer != Payer.WALLET:
        return None
    limits = SpendLimit.objects.filter(_who(person), organisation=organisation, hard__isnull=False)
    hard = [(limit, limit.hard) for limit in limits.select_related("person") if limit.hard is not None]
    if not hard:
        return None
    sums = _by_person(_sums(organisation).filter(_who(person)))
    rooms = [Room(max(ZERO, most - sums.get(limit.person_id, ZERO)), limit) for limit, most in hard]
    return min(rooms, key=lambda room: room.left)


def require_room(organisation: Organisation, person: User | None, *, payer: str) -> None:
    """Raises Conflict (`limit_reached`) when nothing more may be spent in this month."""
    room = room_for(organisation, person, payer=payer)
    if room is not None and room.left <= 0:
        raise Conflict(room.message, code="limit_reached", fields={"payer": [room.message]})


@dataclass(frozen=True, slots=True)
class Standing:
    """A limit with what was spent of it in this month. No member: the whole organisation."""

    member: Member | None
    limit: SpendLimit
    spent: Decimal


def standings(organisation: Organisation) -> list[Standing]:
    """The organisation's own first, then one for each member; limits that nobody has set are empty."""
    stored = {limit.person_id: limit for limit in SpendLimit.objects.filter(organisation=organisation)}
    sums = _by_person(_sums(organisation))

    def stand(member: Member | None) -> Standing:
        person = member.user if member else None
        limit = stored.get(person.pk if person else None) or SpendLimit(organisation=organisation, person=person)
        return Standing(member, limit, sums.get(limit.person_id, ZERO))

    members = organisation.memberships.select_related("user").order_by("user__email")
    return [stand(None), *map(stand, members)]


def set_limit(
    *,
    organisation: Organisation,
    person: User | None,
    soft: Decimal | str | None,
    hard: Decimal | str | None,
    actor: Actor,
) -> SpendLimit:
    """Empty values mean no limit. Raises Invalid beside `soft` or `hard`, NotFound for who is not a member."""
    if person is not None and not organisation.memberships.filter(user=person).exists():
        raise NotFound(_("This person is not a member."))
    columns = {"soft": _amount(soft, "soft"), "hard": _amount(hard, "hard")}
    if columns["soft"] and columns["hard"] and columns["soft"] > columns["hard"]:
        message = _("The pods would have stopped before this notice: choose a smaller amount.")
        raise Invalid(message, fields={"soft": [message]})
    with transaction.atomic():
        limit, _made = SpendLimit.objects.update_or_create(
            organisation=organisation, person=person, defaults={**columns, "told_at": None}
        )
        told = {name: str(value) if value is not None else None for name, value in columns.items()}
        audit.record(
            organisation.pk, actor, "spend_limit.set", limit, {"person": str(person.pk) if person else "", **told}
        )
    return limit


def tell_of_soft_limits() -> int:
    """Tell people once a month that a soft limit is passed. Returns how many were told of."""
    sums = MonthSpend.objects.filter(organisation=OuterRef("organisation"), month=month_start().date())
    ours, theirs = sums.filter(person=None), sums.filter(person=OuterRef("person"))
    passed = Q(person=None, soft__lte=Subquery(ours.values("amount"))) | Q(soft__lte=Subquery(theirs.values("amount")))
    waiting = SpendLimit.objects.filter(passed).exclude(told_at__gte=month_start())
    return sum(_tell(limit) for limit in waiting.select_related("organisation", "person"))


def _tell(limit: SpendLimit) -> bool:
    who = limit.person.email if limit.person else limit.organisation.name
    with transaction.atomic():
        same = SpendLimit.objects.filter(pk=limit.pk, told_at=limit.told_at)
        if not same.update(told_at=now()):
            return False
        notify(
            limit.organisation,
            kind="spend.limit",
            title=format_lazy(gettext_lazy("{who} has passed a spend limit of this month"), who=who),
            body=f"${limit.soft:.2f}",
            url=reverse("console:limits"),
            permission=Permission.SEE_BILLING,
        )
    return True


def _amount(text: Decimal | str | None, field: str) -> Decimal | None:
    if text is None or not str(text).strip():
        return None
    return parse_amount(text, currency=CURRENCY, field=field)
