"""One person, several organisations: which one a page works in, and staff who say for whom they act."""

from __future__ import annotations

from accounts.models import AuditEntry, Member, Organisation
from tests.people import Person, make_organisation


def join_second(person: Person) -> Organisation:
    second = make_organisation("Second")
    Member.objects.create(organisation=second, user=person.user, role="viewer")
    return second


def working_in(person: Person) -> str:
    name: str = person.client.get("/settings/organisation/").context["organisation"].name
    return name


def test_first_joined_is_the_default(owner: Person) -> None:
    join_second(owner)
    assert working_in(owner) == "Andes Vision"


def test_switching(owner: Person) -> None:
    second = join_second(owner)
    answer = owner.client.post("/organisations/switch/", {"organisation": second.public_id, "next": "/settings/keys/"})
    assert answer["Location"] == "/settings/keys/"
    assert working_in(owner) == "Second"


def test_switching_leads_to_no_foreign_page(owner: Person) -> None:
    second = join_second(owner)
    for foreign in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        answer = owner.client.post("/organisations/switch/", {"organisation": second.public_id, "next": foreign})
        assert answer["Location"] == "/"


def test_switching_to_others_is_refused(owner: Person, outsider: Person) -> None:
    assert outsider.organisation is not None
    for wanted in (outsider.organisation.public_id, "", "org_rubbish"):
        assert owner.client.post("/organisations/switch/", {"organisation": wanted}).status_code == 404
    assert working_in(owner) == "Andes Vision"


def test_choice_ends_with_the_membership(owner: Person) -> None:
    second = join_second(owner)
    owner.client.post("/organisations/switch/", {"organisation": second.public_id})
    Member.objects.filter(organisation=second).delete()
    assert working_in(owner) == "Andes Vision"


def test_archived_organisation_is_gone(owner: Person) -> None:
    Organisation.objects.update(archived_at="2026-01-01T00:00:00Z")
    assert owner.client.get("/settings/organisation/").status_code == 404
    assert owner.api("get", "organisations/", headers={"X-Organisation": ""}).json()["items"] == []


def test_making_another(owner: Person) -> None:
    owner.client.post("/settings/organisation/new/", {"name": "Third"})
    assert working_in(owner) == "Third"
    assert owner.client.post("/settings/organisation/new/", {"name": "x" * 121}).status_code == 302
    assert not Organisation.objects.filter(name__startswith="xx").exists()


def test_profile_is_kept_and_used(owner: Person) -> None:
    owner.client.post("/settings/", {"name": "Ana", "locale": "es", "time_zone": "America/Guayaquil"})
    owner.user.refresh_from_db()
    assert (owner.user.name, owner.user.locale, owner.user.time_zone) == ("Ana", "es", "America/Guayaquil")
    assert 'lang="es"' in owner.client.get("/settings/").content.decode()
    refused = owner.client.post("/settings/", {"name": "Ana", "locale": "xx", "time_zone": "Mars/Olympus"})
    assert refused.status_code == 422
    assert 'id="id_time_zone_error"' in refused.content.decode()


def test_staff_act_for_a_customer_only_after_saying_so(staff: Person, owner: Person) -> None:
    assert owner.organisation is not None
    assert staff.client.get("/settings/members/").status_code == 404
    staff.client.post("/staff/act-for/", {"organisation": owner.organisation.public_id})
    assert owner.user.email in staff.client.get("/settings/members/").content.decode()
    assert staff.client.get("/settings/keys/").status_code == 403, "not everything is theirs to do"
    entry = AuditEntry.objects.get(action="staff.act_for")
    assert (entry.actor_kind, entry.actor_id) == ("staff", str(staff.user.pk))
    staff.client.post("/staff/act-for/end/")
    assert staff.client.get("/settings/members/").status_code == 404


def test_customers_act_for_nobody(owner: Person, outsider: Person) -> None:
    assert outsider.organisation is not None
    answer = owner.client.post("/staff/act-for/", {"organisation": outsider.organisation.public_id})
    assert answer.status_code == 403
    session = owner.client.session
    session["on_behalf_of"] = outsider.organisation.pk.hex
    session.save()
    assert working_in(owner) == "Andes Vision"


def test_staff_begin_from_the_admin(staff: Person, owner: Person, outsider: Person) -> None:
    assert owner.organisation is not None
    fields = {"action": "act_for", "_selected_action": [str(owner.organisation.pk)]}
    staff.client.post("/admin/accounts/organisation/", fields)
    assert working_in(staff) == "Andes Vision"
    assert "You act for Andes Vision" in staff.client.get("/settings/").content.decode()
