"""What may be spent in a month: by an organisation, and by each member through the pods that they started."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Q, QuerySet, Sum
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
from pods.models import Payer, SpendLimit, Usage

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
    rows = _usage(organisation)
    if person is not None:
        rows = rows.filter(placement__pod__created_by=person)
    return rows.aggregate(total=Sum("amount"))["total"] or ZERO


def _usage(organisation: Organisation) -> QuerySet[Usage]:
    """What counts: paid from the wallet since the month began."""
    rows = Usage.objects.filter(placement__pod__organisation=organisation, payer=Payer.WALLET, currency=CURRENCY)
    return rows.filter(started_at__gte=month_start())


def room_for(organisation: Organisation, person: User | None, *, payer: str) -> Room | None:
    """The narrowest of the limits that hold for a pod which `person` starts or has started. None: there is no limit."""
    if payer != Payer.WALLET:
        return None
    mine = Q(person=None) | Q(person=person) if person else Q(person=None)
    limits = SpendLimit.objects.filter(mine, organisation=organisation, hard__isnull=False)
    rooms = [
        Room(max(ZERO, limit.hard - spent(organisation, limit.person)), limit)
        for limit in limits.select_related("person")
        if limit.hard is not None
    ]
    return min(rooms, key=lambda room: room.left, default=None)


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
    rows = _usage(organisation).values_list("placement__pod__created_by").annotate(total=Sum("amount"))
    by_person = dict(rows.order_by())

    def stand(member: Member | None, spent: Decimal) -> Standing:
        person = member.user if member else None
        limit = stored.get(person.pk if person else None) or SpendLimit(organisation=organisation, person=person)
        return Standing(member, limit, spent)

    members = organisation.memberships.select_related("user").order_by("user__email")
    return [
        stand(None, sum(by_person.values(), ZERO)),
        *(stand(member, by_person.get(member.user_id, ZERO)) for member in members),
    ]


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
    waiting = SpendLimit.objects.filter(soft__isnull=False).exclude(told_at__gte=month_start())
    return sum(_tell(limit) for limit in waiting.select_related("organisation", "person").iterator())


def _tell(limit: SpendLimit) -> bool:
    if limit.soft is None or spent(limit.organisation, limit.person) < limit.soft:
        return False
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
