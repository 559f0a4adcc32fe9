"""A machine joins with a one-time token, once."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import Organisation
from catalyst import nodes
from catalyst.models import Node, NodeToken
from lib.clock import now
from tests.catalyst.conftest import MACHINE, SHARE

pytestmark = pytest.mark.django_db


def enrol(client: Client, token: str, share: dict[str, float] = SHARE) -> Any:
    body = {"token": token, "name": "attic", "machine": MACHINE, "share": share}
    return client.post("/api/v2/nodes/enroll", body, content_type="application/json")


def test_a_token_enrols_one_machine(client: Client) -> None:
    token = nodes.make_token(name="attic")
    answer = enrol(client, token)
    assert answer.status_code == 201
    node = nodes.authenticate(answer.json()["node_id"], answer.json()["node_key"])
    assert node is not None
    assert node.name == "attic"
    again = enrol(client, token)
    assert (again.status_code, again.json()["error"]["code"]) == (401, "bad_token")
    assert Node.objects.count() == 1


def test_staff_make_a_token_for_an_owner(client: Client, organisation: Organisation) -> None:
    token = StringIO()
    call_command("make_node_token", "--name", "attic", "--organisation", organisation.public_id, stdout=token)
    assert enrol(client, token.getvalue().strip()).status_code == 201
    assert Node.objects.get().organisation == organisation
    with pytest.raises(CommandError, match="no organisation"):
        call_command("make_node_token", "--name", "attic", "--organisation", "org_nobody")


def test_an_expired_token_enrols_nothing(client: Client) -> None:
    token = nodes.make_token(name="late")
    NodeToken.objects.update(expires_at=now() - timedelta(seconds=1))
    assert enrol(client, token).status_code == 401


def test_only_hashes_are_stored() -> None:
    token = nodes.make_token(name="attic")
    assert token not in str(list(NodeToken.objects.values_list()))


@pytest.mark.parametrize("share", [{**SHARE, "vcpus": 64.0}, {**SHARE, "ram_gb": 0.0}, {**SHARE, "disk_gb": -1.0}])
def test_a_share_fits_its_machine(client: Client, share: dict[str, float]) -> None:
    answer = enrol(client, nodes.make_token(name="attic"), share)
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"]


def test_a_wrong_key_is_nobody(client: Client) -> None:
    body = enrol(client, nodes.make_token(name="attic")).json()
    assert nodes.authenticate(body["node_id"], "gbk_other") is None
    assert nodes.authenticate("no id", body["node_key"]) is None
