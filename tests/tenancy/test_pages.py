"""Every page, called by nobody and by the owner of another organisation: refused, and nothing is changed.

A new page fails here until it stands in one of the tables of pages.py.
"""

from __future__ import annotations

from typing import Any

from django.test import Client

from accounts.models import Organisation
from tests.people import Caller, Person
from tests.tenancy.pages import (
    ACCOUNT,
    ACCOUNT_OWN,
    ADMIN,
    FORM,
    JOURNEY,
    OPERATORS,
    OWN,
    PAGES,
    PUBLIC,
    ROWS,
    STAFF,
    fill,
)
from tests.tenancy.rows import SESSIONS, Theirs, state
from tests.undone import undone


def ask(client: Client, address: str) -> dict[str, Any]:
    """The answer to each method that the page takes; redirects are not followed."""
    answers = {"GET": client.get(address, {"cancelled": "1"}), "POST": client.post(address, FORM)}
    taken = {method: answer for method, answer in answers.items() if answer.status_code != 405}
    assert taken, f"{address} takes neither GET nor POST"
    return taken


def to_sign_in(answer: Any) -> bool:
    return answer.status_code == 302 and str(answer.url).startswith("/account/login/?next=")


def wrong(answers: dict[str, Any], address: str, *statuses: int) -> list[str]:
    found = {method: answer for method, answer in answers.items() if answer.status_code not in statuses}
    return [f"{method} {address}: {answer.status_code}" for method, answer in found.items()]


def test_every_page_stands_in_a_table() -> None:
    tables = [PUBLIC, OPERATORS, OWN, ROWS, JOURNEY, STAFF]
    listed = set().union(*tables)
    assert len(listed) == sum(len(table) for table in tables), "a page stands in two tables"
    assert PAGES - listed == set(), "new pages: put each into the table where it belongs"
    assert listed - PAGES == set(), "pages that are no more"
    assert set() == ACCOUNT_OWN - ACCOUNT


def test_nobody_is_sent_to_sign_in(theirs: Theirs, anonymous: Caller) -> None:
    before = state(without=SESSIONS)
    problems = []
    for address in sorted(OWN | ROWS | STAFF | ACCOUNT_OWN):
        for method, answer in ask(anonymous.client, fill(address, theirs)).items():
            if not to_sign_in(answer):
                problems.append(f"{method} {address}: {answer.status_code}")
    assert problems == []
    assert state(without=SESSIONS) == before


def test_an_outsider_finds_nothing(theirs: Theirs, outsider: Person) -> None:
    before = state(without=SESSIONS)
    problems = []
    for address in sorted(ROWS | JOURNEY):
        problems += wrong(ask(outsider.client, fill(address, theirs)), address, 404)
    assert problems == []
    assert state(without=SESSIONS) == before


def test_other_browsers_find_no_enrolment(theirs: Theirs, anonymous: Caller) -> None:
    before = state(without=SESSIONS)
    problems = []
    for address in sorted(JOURNEY):
        problems += wrong(ask(anonymous.client, fill(address, theirs)), address, 404)
    assert problems == []
    assert state(without=SESSIONS) == before


def test_a_viewer_changes_nothing(theirs: Theirs, viewer: Person) -> None:
    """A member who may only look: what changes a row of the organisation is refused."""
    before = state(without=SESSIONS)
    problems = []
    for address in sorted(ROWS - {"inbox/<str:message_id>/", "settings/security/sign-ins/<str:sign_in_id>/end/"}):
        answer = viewer.client.post(fill(address, theirs), FORM)
        if answer.status_code not in {403, 404, 405}:
            problems.append(f"{address}: {answer.status_code}")
    assert problems == []
    assert state(without=SESSIONS) == before


def test_the_owner_is_let_in(theirs: Theirs, owner: Person) -> None:
    """So that the tests above prove something: with these ids the owner gets an answer."""
    problems = []
    for address in sorted(ROWS):
        with undone():
            problems += wrong(ask(owner.client, fill(address, theirs)), address, 200, 302, 409, 422)
    assert problems == []


def test_pages_of_ones_own_show_nothing_of_theirs(theirs: Theirs, outsider: Person) -> None:
    secrets = [value for name, value in theirs._asdict().items() if name.endswith("_id")] + [theirs.email]
    secrets.append(Organisation.objects.get(name="Andes Vision").name)
    for address in sorted(OWN | PUBLIC - {"metrics"}):
        if "<" in address:
            continue
        for headers in ({}, {"X-Organisation": theirs.organisation_id}):
            answer = outsider.client.get("/" + address, headers=headers)
            assert answer.status_code in {200, 302, 405, 503}, (address, answer.status_code)
            text = answer.getvalue().decode()
            assert not [secret for secret in secrets if secret in text], address


def test_nobody_switches_to_an_organisation_of_others(theirs: Theirs, outsider: Person) -> None:
    answer = outsider.client.post("/organisations/switch/", {"organisation": theirs.organisation_id})
    assert answer.status_code == 404
    assert outsider.organisation is not None
    assert outsider.organisation.name.encode() in outsider.client.get("/settings/organisation/").content


def test_customers_are_no_staff(theirs: Theirs, owner: Person, outsider: Person) -> None:
    before = state(without=SESSIONS)
    for person in (owner, outsider):
        for address in sorted(STAFF):
            assert wrong(ask(person.client, fill(address, theirs)), address, 403, 404) == []
    assert state(without=SESSIONS) == before


def test_the_admin_is_for_staff(theirs: Theirs, owner: Person, anonymous: Caller) -> None:
    """Every address of the admin sends others to its own sign-in, which takes staff only."""
    before = state(without=SESSIONS)
    problems = []
    for address in sorted(ADMIN - {"admin/login/", "admin/logout/"}):
        filled = "/" + address.replace("<path:object_id>", "1").replace("<path:content_type_id>", "1")
        if "<" in filled or "(?P" in filled:
            continue
        for person in (owner, anonymous):
            for method in ("get", "post"):
                answer = getattr(person.client, method)(filled)
                if answer.status_code not in {403, 404, 405} and "/login/" not in getattr(answer, "url", ""):
                    problems.append(f"{method} {filled}: {answer.status_code}")
    assert problems == []
    assert state(without=SESSIONS) == before


def test_no_form_is_taken_from_another_site(theirs: Theirs, owner: Person) -> None:
    """Without the CSRF token every POST is refused, whoever is signed in."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner.user, backend="django.contrib.auth.backends.ModelBackend")
    before = state(without=SESSIONS)
    problems = []
    for address in sorted(OWN | ROWS | JOURNEY | STAFF | ACCOUNT_OWN):
        answer = client.post(fill(address, theirs), FORM)
        if answer.status_code not in {403, 405}:
            problems.append(f"{address}: {answer.status_code}")
    assert problems == []
    assert state(without=SESSIONS) == before
