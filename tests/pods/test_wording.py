"""What workers wrote is read in the reader's language, with its figures, whatever language it was written in."""

from __future__ import annotations

import pytest
from django.utils import translation

from accounts.models import Organisation
from notifications.models import Notification
from pods import notices
from pods.models import Mode, Payer, Pod, PodEvent
from pods.templatetags.pods import event_message
from pods.wording import PATTERNS, say
from tests.people import Person


@pytest.mark.parametrize(
    ("language", "written", "read"),
    [
        ("es", "2 × H100 SXM at Vast.ai", "2 × H100 SXM en Vast.ai"),
        ("en", "2 × H100 SXM en Vast.ai", "2 × H100 SXM at Vast.ai"),
        ("es", "Its process ended with code 137.", "Su proceso terminó con el código 137."),
        ("es", "Its process ended and was started again.", "Su proceso terminó y se inició de nuevo."),
        ("es", "capacity exceeded (provider's own words)", "capacity exceeded (provider's own words)"),
        ("en", "100 % of %s", "100 % of %s"),
        ("es", "The node is not answering at the moment.", "El nodo no responde en este momento."),
        ("en", "Nada en ejecución", "Nada en ejecución"),
        ("es", "", ""),
    ],
)
def test_a_sentence_is_read_in_the_active_language(language: str, written: str, read: str) -> None:
    with translation.override(language):
        assert say(written) == read


def test_every_pattern_comes_back_from_every_language() -> None:
    for pattern in PATTERNS:
        values = ("7",) if "%s" in pattern else {"gpu": "1 × L4", "provider": "Akash", "new": "7", "most": "5"}
        with translation.override("es"):
            spanish = translation.gettext(pattern) % values
            assert say(pattern % values) == spanish
        with translation.override("en"):
            assert say(spanish) == pattern % values


def test_a_timeline_of_english_rows_in_spanish() -> None:
    with translation.override("es"):
        assert event_message(PodEvent(kind="status", message="It failed at 3 places in a row.")).startswith(
            "Falló en 3"
        )


@pytest.mark.django_db
def test_each_member_is_told_in_their_language(organisation: Organisation, owner: Person, admin: Person) -> None:
    owner.user.locale = "es"
    owner.user.save(update_fields=["locale"])
    pod = Pod.objects.create(organisation=organisation, name="job", mode=Mode.SANDBOX, payer=Payer.CREDITS)
    notices.tell(pod.pk, notices.FUNDS_LOW, "The balance pays for about 9 more minutes.")
    bodies = dict(Notification.objects.values_list("user__email", "body"))
    assert bodies[admin.user.email] == "The balance pays for about 9 more minutes."
    assert bodies[owner.user.email] == "El saldo alcanza para unos 9 minutos más."
