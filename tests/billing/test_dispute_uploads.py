"""Files of a dispute: taken by what they are, few and small, read by both sides and staff and nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import Organisation
from billing.disputes import evidence
from billing.models import Dispute, DisputeEvidence
from tests.billing.disputing import dispute_it, rent
from tests.people import API, Person, join

PNG = evidence.PNG + b"\x00\x01"
FILES = {
    "shot.png": (PNG, "image/png"),
    "photo.jpeg": (evidence.JPEG + b"\xe0\x00", "image/jpeg"),
    "paper.pdf": (b"%PDF-1.7\n\x00", "application/pdf"),
    "out.log": ("stood still\tat 12:01 – é\n".encode(), "text/plain; charset=utf-8"),
}
BAD = {
    "empty": b"",
    "html in disguise": b"\x89PN<html>\x00",
    "program": b"\x7fELF\x02\x01\x01\x00",
    "archive": b"PK\x03\x04",
    "not text": b"\xff\xfe\xff",
    "control characters": b"ok \x1b[31m",
}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = settings.STORAGES | {"default": storage}


@pytest.fixture
def dispute(owner: Person, organisation: Organisation, operator: Organisation) -> Dispute:
    return dispute_it(owner, rent(organisation, operator, ["1"]))


@pytest.fixture
def machine_owner(operator: Organisation) -> Person:
    return join(operator, "owner@machines.example", "owner")


def hand_in(person: Person, dispute: Dispute, content: bytes, name: str = "a.txt") -> Any:
    """By the API, as a program would."""
    file = SimpleUploadedFile(name, content, content_type="text/html")
    return Client().post(f"{API}disputes/{dispute.public_id}/evidence", {"file": file}, headers=person.headers)


def stored(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", FILES)
def test_taken_by_content(
    dispute: Dispute, owner: Person, machine_owner: Person, staff: Person, tmp_path: Path, name: str
) -> None:
    content, content_type = FILES[name]
    answer = hand_in(owner, dispute, content, name)
    assert answer.status_code == 201, answer.content
    row = answer.json()
    assert (row["by"], row["content_type"], row["size"]) == ("renter", content_type, len(content))
    assert [path.read_bytes() for path in stored(tmp_path)] == [content]
    assert name not in str(stored(tmp_path)[0])
    address = f"disputes/{dispute.public_id}/evidence/{row['id']}"
    pages = [person.client.get(f"/billing/{address}/") for person in (owner, machine_owner)]
    for file in (*pages, staff.client.get(f"/staff/{address}/"), machine_owner.api("get", address)):
        assert (file.status_code, file.content) == (200, content)
        assert file["Content-Disposition"].startswith("attachment; filename=")
        assert file["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in file["Content-Security-Policy"]
        assert file["Content-Type"] == content_type


@pytest.mark.parametrize("what", BAD)
def test_other_content_is_refused(dispute: Dispute, owner: Person, tmp_path: Path, what: str) -> None:
    answer = hand_in(owner, dispute, BAD[what], "picture.png")
    assert (answer.status_code, "file" in answer.json()["error"]["fields"]) == (422, True)
    assert (stored(tmp_path), DisputeEvidence.objects.count()) == ([], 0)


def test_too_large(dispute: Dispute, owner: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "LARGEST", 20)
    assert hand_in(owner, dispute, b"a" * 20).status_code == 201
    assert hand_in(owner, dispute, b"a" * 21).status_code == 422
    assert len(stored(tmp_path)) == 1


def test_too_many(
    dispute: Dispute, owner: Person, machine_owner: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "MOST_FILES", 2)
    answers = [hand_in(owner, dispute, f"{number}".encode()).status_code for number in range(3)]
    assert answers == [201, 201, 409]
    assert hand_in(machine_owner, dispute, b"0").status_code == 201, "each side has room of its own"
    assert len(stored(tmp_path)) == 3


def test_the_same_file_again(dispute: Dispute, owner: Person, tmp_path: Path) -> None:
    first, second = (hand_in(owner, dispute, b"same", name).json() for name in ("a.txt", "b.txt"))
    assert (first, len(stored(tmp_path))) == (second, 1)


def test_nothing_after_the_end(dispute: Dispute, owner: Person, tmp_path: Path) -> None:
    Dispute.objects.update(status="final")
    assert hand_in(owner, dispute, b"late").status_code == 409
    assert stored(tmp_path) == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd.txt"),
        ("..\\..\\boot.ini", "boot.txt"),
        ('a"b\r\nSet-Cookie: x', "a_b__Set-Cookie_ x.txt"),
        ("page.html", "page.txt"),
        ("....", "file.txt"),
        ("é" * 300 + ".png", "é" * 80 + ".txt"),
    ],
)
def test_names_are_harmless(dispute: Dispute, owner: Person, organisation: Organisation, given: str, kept: str) -> None:
    file = SimpleUploadedFile("x", b"text")
    file._name = given  # type: ignore[attr-defined]  # past Django's own cleaning
    row = evidence.hand_in(dispute=dispute, side=organisation, file=file, actor=owner.actor)
    assert row.name == kept
    assert "\n" not in evidence.as_file(row)["Content-Disposition"]


def test_others_find_nothing(dispute: Dispute, owner: Person, outsider: Person, viewer: Person) -> None:
    row = hand_in(owner, dispute, b"text").json()
    address = f"disputes/{dispute.public_id}/evidence/{row['id']}"
    assert outsider.client.get(f"/billing/{address}/").status_code == 404
    assert outsider.api("get", address).status_code == 404
    assert outsider.client.get(f"/staff/{address}/").status_code == 404
    assert viewer.client.get(f"/billing/{address}/").status_code == 403
    assert hand_in(outsider, dispute, b"text").status_code == 404
    assert hand_in(viewer, dispute, b"text").status_code == 403


def test_file_of_another_dispute(
    dispute: Dispute, owner: Person, organisation: Organisation, operator: Organisation
) -> None:
    row = hand_in(owner, dispute, b"text").json()
    other = dispute_it(owner, rent(organisation, operator, ["1"]))
    assert owner.client.get(f"/billing/disputes/{other.public_id}/evidence/{row['id']}/").status_code == 404


def test_a_file_that_is_gone(dispute: Dispute, owner: Person, tmp_path: Path) -> None:
    row = hand_in(owner, dispute, b"text").json()
    stored(tmp_path)[0].unlink()
    answer = owner.api("get", f"disputes/{dispute.public_id}/evidence/{row['id']}")
    assert answer.status_code == 404


def test_by_the_page(dispute: Dispute, machine_owner: Person) -> None:
    address = f"/billing/disputes/{dispute.public_id}/"
    file = SimpleUploadedFile("out.log", b"it ran")
    answer = machine_owner.client.post(f"{address}evidence/", {"file": file})
    assert (answer.status_code, answer["Location"]) == (302, address)
    assert b"out.txt" in machine_owner.client.get(address).content
    machine_owner.client.post(f"{address}evidence/", {})
    assert b"Choose a file" in machine_owner.client.get(address).content
    assert DisputeEvidence.objects.count() == 1
