"""The dashboards: figures of the organisation for its members, of everything for staff."""

from __future__ import annotations

from accounts.models import Organisation
from pods.models import Pod
from tests.people import Person


def test_members_see_their_pods_and_figures(owner: Person, pod: Pod) -> None:
    page = owner.client.get("/dashboard/").content.decode()
    assert pod.name in page
    assert "Runway" in page


def test_who_may_not_see_billing_sees_no_money(viewer: Person, pod: Pod) -> None:
    page = viewer.client.get("/dashboard/").content.decode()
    assert pod.name in page
    assert "Runway" not in page
    assert "balances" not in viewer.api("GET", "dashboard/").json()


def test_others_pods_are_not_there(outsider: Person, pod: Pod) -> None:
    assert pod.name not in outsider.client.get("/dashboard/").content.decode()
    assert outsider.api("GET", "dashboard/pods").json()["items"] == []


def test_no_match_is_not_empty(owner: Person, pod: Pod) -> None:
    assert "No pod matches" in owner.client.get("/pods/?q=nothing").content.decode()
    assert pod.name in owner.client.get("/pods/?status=running").content.decode()


def test_the_api_tells_the_same(owner: Person, pod: Pod) -> None:
    answer = owner.api("GET", "dashboard/").json()
    assert answer["pods"]["running"] == 1
    rows = owner.api("GET", "dashboard/pods").json()["items"]
    assert [row["id"] for row in rows] == [pod.public_id]
    assert owner.api("GET", "dashboard/activity").status_code == 200
    assert owner.api("GET", "dashboard/providers/health").json() == []


def test_staff_see_everything_and_customers_nothing(staff: Person, owner: Person, pod: Pod) -> None:
    assert staff.client.get("/staff/").status_code == 200
    assert staff.api("GET", "admin/dashboard").json()["ledger_clean"] is True
    assert [row["id"] for row in staff.api("GET", "admin/pods").json()["items"]] == [pod.public_id]
    assert staff.api("GET", "admin/customers").status_code == 200
    for path in ("admin/dashboard", "admin/pods", "admin/customers", "admin/costs", "admin/billing"):
        assert owner.api("GET", path).status_code == 404
    assert owner.client.get("/staff/").status_code == 404


def test_a_pod_that_waits_names_its_cards(owner: Person, organisation: Organisation) -> None:
    Pod.objects.create(
        organisation=organisation, name="train", mode="SANDBOX", payer="wallet", gpu_query="h100-sxm-80", gpu_count=8
    )
    page = owner.client.get("/pods/").content.decode()
    assert "8 × H100 SXM" in page
    assert "h100-sxm-80" not in page


def test_staff_who_sign_in_come_to_their_own_place(staff: Person) -> None:
    assert staff.client.get("/dashboard/").headers["Location"] == "/admin/"
