"""Everything is said in Spanish too: nothing is missing in the catalogue, and no English is left on a Spanish page."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from django.core import mail
from django.core.management import call_command
from django.test import Client
from django.utils import translation
from django.utils.formats import date_format

from lib.clock import now
from lib.local import messages
from lib.templatetags.numbers import ago, bytes_short, number, span, usd
from pods.models import Mode, Payer, Pod, PodEvent
from pods.states import PodStatus, Reason
from tests.marketplace.offering import offer, raw
from tests.people import Caller, Person

EVERYBODYS = (
    "/",
    "/market/",
    "/market/?gpu=H100&max_price=0.01",
    "/gpus/",
    "/providers/",
    "/plans/",
    "/checkout/?plan=pro",
    "/deploy/",
    "/terms/",
    "/privacy/",
    "/cookies/",
    "/account/login/",
    "/account/signup/",
    "/account/password/reset/",
    "/nothing-here/",
)
CUSTOMERS = (
    "/dashboard/",
    "/pods/",
    "/activity/",
    "/nodes/",
    "/inbox/",
    "/mailbox/",
    "/billing/",
    "/billing/top-up/",
    "/billing/plan/",
    "/settings/",
    "/settings/security/",
    "/settings/organisation/",
    "/settings/members/",
    "/settings/keys/",
    "/settings/audit/",
)
OF_A_POD = ("", "stop/", "terminate/", "tab/logs/", "tab/metrics/", "tab/events/", "tab/checkpoints/", "tab/billing/")
SENTENCE = re.compile(r"[A-Za-z’']+(?:[ ,;:]+[a-z’']+){2,}")
NAMES = {"A16 (one of four GPUs)"}
SAID_IN_ATTRIBUTES = {"aria-label", "title", "placeholder", "alt", "data-label", "data-copied"}


class Texts(HTMLParser):
    """What a page says, in its text and in the attributes that people read or hear; without code and scripts."""

    SILENT = {"script", "style", "code", "pre"}

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self._inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.SILENT:
            self._inside.append(tag)
        self.found |= {value for name, value in attrs if value and name in SAID_IN_ATTRIBUTES}

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if text := " ".join(data.split()):
            self.found |= set() if self._inside else {text}


def said(client: Client, path: str, language: str) -> set[str]:
    answer = client.get(path, headers={"Accept-Language": language})
    assert answer.status_code in {200, 404}, (path, answer.status_code)
    return Texts(answer.content.decode()).found


def english_left(client: Client, path: str) -> list[str]:
    """Sentences that a Spanish reader gets as an English reader does, and words of ours that have a Spanish one."""
    in_english, in_spanish = (said(client, path, language) for language in ("en", "es-EC"))
    unchanged = {text for text in in_english & in_spanish if SENTENCE.search(text)}
    return sorted((unchanged | (in_spanish & translated_words())) - NAMES)


@cache
def translated_words() -> frozenset[str]:
    pairs = [(m.id, m.string) for m in messages.read_catalogue() if isinstance(m.id, str) and m.id]
    return frozenset(english for english, _spanish in pairs) - {spanish for _english, spanish in pairs}


@pytest.fixture
def furnished(db: None, settings: Any, tmp_path: Path) -> None:
    """What a fresh installation knows, and one offer."""
    settings.SECRETS_DIR = tmp_path
    call_command("seed", verbosity=0)
    offer(raw())


def test_every_sentence_is_translated() -> None:
    assert messages.problems() == []


@pytest.mark.parametrize(
    ("english", "spanish", "problem"),
    [
        ("Stop", None, "not in the catalogue"),
        ("Stop", "", "not translated"),
        (("%(n)d day", "%(n)d days"), ("%(n)d día", ""), "not translated"),
        ("See %(n)d of {all}", "Ver %(m)d de {all}", "placeholders or tags differ"),
        ("See {all}", "Ver {todo}", "placeholders or tags differ"),
        ("Now <b>here</b>", "Ahora aquí", "placeholders or tags differ"),
        (("%(n)d day", "%(n)d days"), ("un día", "varios días"), "placeholders or tags differ"),
        (("one day", "%(n)d days"), ("un día", "%(n)d días"), ""),
        ("%(n)s %% of %(m)s", "%(m)s: %(n)s %%", ""),
    ],
)
def test_doubtful_translations_are_found(english: Any, spanish: Any, problem: str) -> None:
    sources, catalogue = Catalog(), Catalog(locale="es")
    sources.add(english, locations=[("pods/views.py", 3)])
    if spanish is not None:
        catalogue.add(english, spanish)
    found = messages.problems_of(sources, catalogue)
    assert [text.partition(":")[0] for text in found] == ([problem] if problem else [])


def test_a_guess_is_no_translation() -> None:
    sources, catalogue = Catalog(), Catalog(locale="es")
    sources.add("Stop", locations=[("pods/views.py", 3)])
    catalogue.add("Stop", "Detener", flags=["fuzzy"])
    assert messages.problems_of(sources, catalogue) == ["fuzzy: 'Stop' (pods/views.py)"]


def test_templates_and_code_are_read() -> None:
    sources = messages.extract_messages()
    for text, file in (("Sign out?", "templates/account/logout.html"), ("Recovering", "pods/states.py")):
        found = sources.get(text)
        assert isinstance(found, Message)
        assert file in {name for name, _line in found.locations}


def test_no_english_is_left_for_anybody(furnished: None, anonymous: Caller) -> None:
    assert {path: left for path in EVERYBODYS if (left := english_left(anonymous.client, path))} == {}


def test_no_english_is_left_for_a_customer(furnished: None, owner: Person) -> None:
    owner.user.name = "Inés"  # the cast is named by its roles
    owner.user.save()
    assert owner.organisation
    pod = Pod.objects.create(organisation=owner.organisation, name="job", mode=Mode.SANDBOX, payer=Payer.CREDITS)
    _live_through(pod)
    pages = (*CUSTOMERS, *(f"/pods/{pod.public_id}/{part}" for part in OF_A_POD))
    assert {path: left for path in pages if (left := english_left(owner.client, path))} == {}


def _live_through(pod: Pod) -> None:
    PodEvent.objects.bulk_create(
        [
            PodEvent(pod=pod, kind="deployed", new_status=PodStatus.QUEUED, reason=Reason.REQUESTED),
            PodEvent(pod=pod, kind="placement", new_status="live"),
            PodEvent(pod=pod, kind="status", new_status=PodStatus.RUNNING, reason=Reason.REACHED),
            PodEvent(pod=pod, kind="restarted", message="Its process ended and was started again."),
            PodEvent(pod=pod, kind="wanted", new_status=PodStatus.STOPPED, reason=Reason.NO_FUNDS),
        ]
    )


def test_a_timeline_in_words(furnished: None, owner: Person) -> None:
    assert owner.organisation
    pod = Pod.objects.create(organisation=owner.organisation, name="job", mode=Mode.SANDBOX, payer=Payer.CREDITS)
    _live_through(pod)
    words = " ".join(Texts(owner.client.get(f"/pods/{pod.public_id}/tab/events/").content.decode()).found)
    for said_in_english in ("Deployed", "Running", "a probe reached it", "Asked for", ": Stopped", "Place", ": live"):
        assert said_in_english in words


def test_the_words_themselves(furnished: None, anonymous: Caller) -> None:
    assert {"Planes", "Empezar gratis", "al mes"} <= said(anonymous.client, "/plans/", "es")
    assert {"Iniciar sesión", "Contraseña"} <= said(anonymous.client, "/account/login/", "es")
    assert "Qué paga usted" in said(anonymous.client, "/terms/", "es-EC,es;q=0.9,en;q=0.5")
    assert "What you pay" in said(anonymous.client, "/terms/", "fr")


def test_the_persons_language_wins_over_the_browsers(furnished: None, owner: Person) -> None:
    owner.user.locale = "es"
    owner.user.save()
    assert "Pods en ejecución" in said(owner.client, "/dashboard/", "en")


def test_refusals_of_the_api_are_translated(furnished: None, owner: Person) -> None:
    answer = owner.api("get", "pods/pod_00000000000000000000000000/events", headers={"Accept-Language": "es"})
    assert answer.json()["error"]["message"] == "Esto no existe o no es suyo."


def test_mail_is_translated(furnished: None, anonymous: Caller) -> None:
    form = {"email": "new@andes.example", "password1": "correct horse battery", "password2": "correct horse battery"}
    anonymous.client.post("/account/signup/", form, headers={"Accept-Language": "es"})
    assert mail.outbox[0].subject == "Confirme su dirección"


def test_numbers_and_dates_in_spanish() -> None:
    with translation.override("es"):
        assert usd(Decimal("1234.5")) == "$1\xa0234,50"
        assert usd(Decimal("0.0042")) == "$0,0042"
        assert number(9876.5, 1) == "9\xa0876,5"
        assert bytes_short(2_500_000) == "2,5 MB"
        assert span(8.4) == "8,4 s"
        assert ago(now() - timedelta(minutes=3, seconds=1)) == "hace 3 min"
        assert ago(now() - timedelta(days=3, seconds=1)) == "hace 3 días"
        assert date_format(date(2026, 5, 1), "DATE_FORMAT") == "1 de mayo de 2026"
