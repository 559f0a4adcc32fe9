"""An owner says what their node costs: by page and by the API, for pods that start from then on."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import translation
from pytest_django import DjangoCaptureOnCommitCallbacks

from accounts.models import AuditEntry, Organisation
from catalyst.lifecycle import switch_node_status
from catalyst.models import Node
from catalyst.nodes import enrol, make_token
from catalyst.offers import publish_offers
from catalyst.states import NodeStatus
from marketplace import snapshot
from marketplace.models import Offer
from tests.catalyst.conftest import MACHINE, SHARE
from tests.people import Person
from tests.pods.market import make_provider


@pytest.fixture
def mine(organisation: Organisation, monkeypatch: pytest.MonkeyPatch) -> Node:
    """The organisation's own node, alive, with its offer in the market; every search looks for changes."""
    monkeypatch.setattr(snapshot, "CHECK_S", 0.0)
    token = make_token(name="attic", organisation=organisation)
    node = enrol(token=token, name="attic", machine=MACHINE, share=SHARE).node
    switch_node_status(node.pk, old=node.status, new=NodeStatus.ALIVE)
    make_provider("catalyst")
    publish_offers()
    node.refresh_from_db()
    return node


def price(node: Node) -> str:
    return f"/nodes/{node.public_id}/price/"


def test_the_price_is_set_audited_and_told_to_the_market(
    owner: Person, mine: Node, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    assert price(mine) in owner.client.get("/nodes/").content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        answer = owner.client.post(price(mine), {"price_per_hour": "0.0415"})
    assert (answer.status_code, answer["Location"]) == (302, "/nodes/")
    mine.refresh_from_db()
    assert mine.price_per_hour == Decimal("0.0415")
    assert Offer.objects.get().price_per_hour == Decimal("0.0415")
    entry = AuditEntry.objects.get(action="node.price")
    assert (entry.object_id, entry.data) == (mine.public_id, {"from": "0.020000", "to": "0.0415"})


def test_the_same_price_again_is_no_change(owner: Person, mine: Node) -> None:
    assert owner.client.post(price(mine), {"price_per_hour": "0.02"}).status_code == 302
    assert not AuditEntry.objects.filter(action="node.price").exists()


@pytest.mark.parametrize("bad", ["", "0", "-1", "0.00001", "1e9", "1000.01", "abc", "nan"])
def test_what_is_no_price_is_refused_beside_the_field(owner: Person, mine: Node, bad: str) -> None:
    answer = owner.client.post(price(mine), {"price_per_hour": bad})
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.content.decode()
    assert answer.context["form"].errors["price_per_hour"]
    mine.refresh_from_db()
    assert mine.price_per_hour == Decimal("0.02")


def test_a_price_in_spanish(owner: Person, mine: Node) -> None:
    with translation.override("es"):
        page = owner.client.get(price(mine), headers={"Accept-Language": "es"}).content.decode()
        assert 'value="0,02"' in page
        owner.client.post(price(mine), {"price_per_hour": "0,05"}, headers={"Accept-Language": "es"})
    mine.refresh_from_db()
    assert mine.price_per_hour == Decimal("0.05")


def test_a_retired_node_has_no_price(owner: Person, mine: Node) -> None:
    Node.objects.update(status=NodeStatus.RETIRED)
    answer = owner.client.post(price(mine), {"price_per_hour": "0.05"})
    assert answer.status_code == 422
    assert "retired" in answer.content.decode()


def test_by_the_api(owner: Person, mine: Node) -> None:
    answer = owner.api("patch", f"nodes/{mine.public_id}", {"price_per_hour": "0.05"})
    assert answer.status_code == 200
    assert answer.json()["price_per_hour"] == {"amount": "0.050000", "currency": "USD"}
    assert owner.api("get", "nodes/").json()["items"][0]["is_own"] is True
    wrong = owner.api("patch", f"nodes/{mine.public_id}", {"price_per_hour": "0"})
    assert (wrong.status_code, list(wrong.json()["error"]["fields"])) == (422, ["price_per_hour"])


def test_who_may_and_whose(owner: Person, member: Person, billing_member: Person, outsider: Person, mine: Node) -> None:
    ours = enrol(token=make_token(name="one", is_local=True), name="one", machine=MACHINE, share=SHARE).node
    body = {"price_per_hour": "0.05"}
    assert owner.client.post(price(ours), body).status_code == 404
    assert outsider.client.post(price(mine), body).status_code == 404
    assert member.client.post(price(mine), body).status_code == 403
    assert price(mine) not in member.client.get("/nodes/").content.decode()
    assert billing_member.client.get(price(mine)).status_code == 200
    assert owner.api("patch", f"nodes/{ours.public_id}", body).status_code == 404


def test_the_list_and_the_market_name_ones_own_machines(owner: Person, outsider: Person, mine: Node) -> None:
    enrol(token=make_token(name="one", is_local=True), name="one", machine=MACHINE, share=SHARE)
    page = owner.client.get("/nodes/").content.decode()
    assert page.count("Yours") == 1
    assert page.index("attic") < page.index(">one<")
    offer = Offer.objects.get()
    for address in ("/market/?provider=catalyst&gpu=cpu", f"/offers/{offer.public_id}/", "/gpus/cpu/"):
        assert "Your node" in owner.client.get(address).content.decode(), address
        assert "Your node" not in outsider.client.get(address).content.decode(), address
