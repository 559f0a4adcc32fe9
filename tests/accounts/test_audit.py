"""The audit log only grows, each entry sealed with the one before it; the database itself refuses changes."""

from __future__ import annotations

import threading

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from accounts import actor as actors
from accounts import audit
from accounts.models import AuditEntry, Organisation
from tests.conftest import servers
from tests.people import Person, make_organisation


def write(organisation: Organisation, count: int = 3) -> None:
    for n in range(count):
        audit.record(organisation.pk, actors.worker("test"), "thing.do", organisation, {"n": n, "names": ["ä", None]})


def test_chain_is_whole(organisation: Organisation) -> None:
    write(organisation)
    assert audit.verify_chain(organisation.pk) == []
    rows = list(AuditEntry.objects.order_by("sequence"))
    assert [row.sequence for row in rows] == [1, 2, 3]
    assert [row.previous_hash for row in rows] == [audit.FIRST_HASH, rows[0].hash, rows[1].hash]
    call_command("check_audit")


def test_chains_are_apart(organisation: Organisation) -> None:
    other = make_organisation("Other")
    write(organisation)
    write(other, 1)
    assert AuditEntry.objects.get(organisation=other).sequence == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_auditentry SET action = 'nothing'",
        "DELETE FROM accounts_auditentry",
        "TRUNCATE accounts_auditentry",
    ],
)
def test_application_cannot_change_it(organisation: Organisation, statement: str) -> None:
    write(organisation)
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        connection.cursor().execute(statement)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE accounts_auditentry SET data = '{}' WHERE sequence = 2", "entry 2 was changed"),
        ("UPDATE accounts_auditentry SET actor_id = 'x' WHERE sequence = 1", "entry 1 was changed"),
        ("DELETE FROM accounts_auditentry WHERE sequence = 2", "entry 2 is missing"),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_what_the_owner_changed_is_found(statement: str, problem: str) -> None:
    organisation = make_organisation("Tampered")
    write(organisation)
    with psycopg.connect(servers.database_url("gpubroker_owner")) as owner:
        owner.execute(statement.encode())
    assert problem in audit.verify_chain(organisation.pk)[0]
    with pytest.raises(CommandError, match="problems"):
        call_command("check_audit")


@pytest.mark.django_db(transaction=True)
def test_triggers_refuse_whoever_was_granted_too_much() -> None:
    organisation = make_organisation("Granted")
    write(organisation)
    with psycopg.connect(servers.database_url("gpubroker_owner")) as owner:
        owner.execute("GRANT UPDATE ON accounts_auditentry TO gpubroker")
        owner.commit()
        try:
            with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
                AuditEntry.objects.update(action="nothing")
        finally:
            owner.execute("REVOKE UPDATE ON accounts_auditentry FROM gpubroker")


@pytest.mark.django_db(transaction=True)
def test_writers_at_once_make_one_chain() -> None:
    organisation = make_organisation("Busy")
    ready = threading.Barrier(4)

    def work() -> None:
        ready.wait()
        write(organisation, 5)
        connection.close()

    threads = [threading.Thread(target=work) for _n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert AuditEntry.objects.filter(organisation=organisation).count() == 20
    assert audit.verify_chain(organisation.pk) == []


def test_what_would_not_come_back_the_same_is_refused(organisation: Organisation) -> None:
    with pytest.raises(TypeError):
        audit.record(organisation.pk, actors.worker("test"), "thing.do", None, {"price": 1.5})


def test_rolled_back_work_leaves_no_entry(organisation: Organisation) -> None:
    with transaction.atomic():
        write(organisation)
        transaction.set_rollback(True)
    assert not AuditEntry.objects.exists()


def test_api_pages_through_it(owner: Person, organisation: Organisation) -> None:
    write(organisation, 5)
    route = f"organisations/{organisation.public_id}/audit"
    first = owner.api("get", route + "?limit=3").json()
    assert [item["sequence"] for item in first["items"]] == [5, 4, 3]
    second = owner.api("get", f"{route}?limit=3&cursor={first['next']}").json()
    assert [item["sequence"] for item in second["items"]] == [2, 1]
    assert second["next"] is None
    for wrong in ("?cursor=x", "?cursor=-1", "?cursor=99999999999999999999", "?limit=0", "?limit=201"):
        assert owner.api("get", route + wrong).status_code == 422


def test_who_reads_it(owner: Person, admin: Person, member: Person, organisation: Organisation) -> None:
    write(organisation)
    route = f"organisations/{organisation.public_id}/audit"
    assert admin.api("get", route).status_code == 200
    assert member.api("get", route).status_code == 403
    assert "thing.do" in owner.client.get("/settings/audit/").content.decode()
    assert member.client.get("/settings/audit/").status_code == 403
    assert owner.client.get("/settings/audit/?cursor=x").status_code == 422


def test_entries_may_wait_for_the_end(organisation: Organisation) -> None:
    @audit.at_the_end()
    def break_off() -> None:
        write(organisation)
        raise LookupError

    with audit.at_the_end():
        write(organisation, 1)
        with audit.at_the_end():
            write(organisation, 2)
        assert not AuditEntry.objects.exists()
    with pytest.raises(LookupError):
        break_off()
    write(organisation, 1)
    assert [entry.data["n"] for entry in AuditEntry.objects.order_by("sequence")] == [0, 0, 1, 0]
    assert audit.verify_chain(organisation.pk) == []
