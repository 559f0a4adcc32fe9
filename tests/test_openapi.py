"""The API keeps to its description, and no input makes it fail.

Every operation gets generated requests, right and wrong ones, as somebody who may use it and as nobody. Half of them
name rows that exist and hold what people would send, so that they come further than the first check.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from ninja import Schema
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok

from config.openapi import SNAPSHOT, describe_api
from config.wsgi import application
from tests.catalyst.conftest import alive, enrol, place
from tests.people import API, Person, join, make_organisation, make_user
from tests.tenancy.rows import make_rows
from tests.undone import undone

EXAMPLES = 20
SCHEMA = schemathesis.openapi.from_dict(describe_api())
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)}
# What people would send.
USUAL = {
    "epoch": 1,
    "digest": "0" * 64,
    "chunks": ["0" * 64],
    "plan": "pro",
    "template": "count",
    "provider": "vast",
    "model": "h100-sxm-80",
    "gpu_query": "rtx 4090",
    "command": ["true"],
    "env": {"A": "b"},
    "region": "",
    "name": "job",
    "role": "viewer",
    "scopes": ["pods.see"],
    "expires_at": None,
    "amount": "25.00",
    "chain": "sandbox",
    "address": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "currency": "USD",
    "country": "EC",
    "identity_kind": "cedula",
    "identity": "1710034065",
    "cedula": "1710034065",
    "ruc": "1790016919001",
    "password": "correct horse battery",
    "accept_terms": True,
}


@dataclass(frozen=True)
class World:
    """Who calls, by what the operation asks for, and values that make sense here, by the name of their field."""

    callers: dict[str, dict[str, str]]
    known: dict[str, Any]


def test_the_snapshot_is_what_the_api_describes() -> None:
    assert json.loads(SNAPSHOT.read_text()) == describe_api(), (
        "The API is not what docs/openapi.json says. When the change is meant: `.venv/bin/python manage.py write_openapi`"
    )


def test_every_operation_can_be_tried() -> None:
    described = [(path, method) for path, methods in describe_api()["paths"].items() for method in methods]
    assert len(OPERATIONS) == len(described)


def test_no_two_schemas_share_a_name() -> None:
    """The description goes by names: of two it would show one for both."""
    places: dict[str, set[str]] = {}
    for schema in _schemas_below(Schema):
        if not schema.__module__.startswith("ninja"):
            places.setdefault(schema.__name__, set()).add(schema.__module__)
    assert {name: sorted(modules) for name, modules in places.items() if len(modules) > 1} == {}


def _schemas_below(base: type[Schema]) -> Iterator[type[Schema]]:
    for schema in base.__subclasses__():
        yield schema
        yield from _schemas_below(schema)


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any, peer: Callable[[str], Any]) -> Iterator[World]:
    """One set of rows for all operations; each example is undone, and at the end everything is."""
    for slug in ("paypal", "stripe", "vast", "runpod", "lambda_labs", "akash", "chain"):
        peer(slug)
    with django_db_blocker.unblock():
        with undone():
            yield _make_world()
        cache.delete_pattern("*")  # type: ignore[attr-defined]


@contextmanager
def _connection_kept() -> Iterator[None]:
    """As Django's own test client does: a request neither starts nor ends with closing the connection of the test."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)


def _make_world() -> World:
    from marketplace import seeds as market
    from marketplace.ingest import ingest_provider
    from marketplace.models import Offer
    from pods import seeds as pods

    market.seed()
    pods.seed()
    ingest_provider("vast")
    offer = Offer.objects.filter(provider_id="vast", withdrawn_at=None).order_by("price_per_hour").first()
    assert offer is not None
    organisation = make_organisation("Andes Vision")
    owner = join(organisation, "owner@andes.example", "owner")
    theirs = make_rows(organisation, owner)
    staff = Person(user=make_user("staff@gpubroker.example", is_staff=True, is_superuser=True))
    node = enrol("one")
    placed = place(alive(node.node))
    callers = {
        "anonymous": {},
        "owner": owner.headers,
        "staff": staff.headers,
        "node": {"Authorization": f"Node {node.node.pk}:{node.key}"},
    }
    rows = {
        "pod": str(placed.pod.pk),
        "config": theirs.config_id,
        "offer": offer.public_id,
        "offer_id": offer.public_id,
    }
    return World(callers, USUAL | theirs._asdict() | rows | {"email": "guest@example.org"})


def caller_of(label: str) -> str:
    """Who may use the operation."""
    operation = OPERATIONS[label]
    schemes = {name for option in operation.definition.raw.get("security", []) for name in option}
    if not schemes:
        return "anonymous"
    if "NodeKey" in schemes:
        return "node"
    return "staff" if operation.path.startswith(f"{API}admin/") else "owner"


def requests_for(label: str, world: World, mode: GenerationMode) -> list[st.SearchStrategy[Case[Any]]]:
    """At the address of a row that exists, and at random ones."""
    operation = OPERATIONS[label]
    names = {parameter.name for parameter in operation.path_parameters}
    here = {name: value for name, value in world.known.items() if name in names}
    places = [here, None] if here else [None]
    return [operation.as_strategy(mode, path_parameters=place) for place in places]


@pytest.mark.django_db  # for its place in the order of tests: `world` opens the transaction around all of them
@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_no_input_makes_it_fail(label: str, world: World) -> None:
    who = caller_of(label)
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        # Where every text is right, there is no wrong one to try.
        with suppress(*[Unsatisfiable] if mode == GenerationMode.NEGATIVE else []):
            kinds = requests_for(label, world, mode)
            for kind in kinds:
                _try(kind, world, who, EXAMPLES // len(kinds) // 2)
            if who != "anonymous":
                _try(kinds[0], world, "anonymous", 1)


def _try(kind: st.SearchStrategy[Case[Any]], world: World, who: str, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # the first wrong example tells enough; making it small takes minutes
        suppress_health_check=list(HealthCheck),
    )
    @given(case=kind, sensible=st.booleans())
    def check(case: Case[Any], sensible: bool) -> None:
        if sensible and isinstance(case.body, dict):
            case.body |= {name: world.known[name] for name in case.body if name in world.known}
        headers = world.callers[who] | {"Idempotency-Key": uuid4().hex}
        cache.delete_pattern("rate:*")  # type: ignore[attr-defined]
        with _connection_kept(), undone():
            answer = case.call(headers=headers, app=application)
        told = f"{answer.status_code} {answer.content!r}\n{case.as_curl_command()}"
        assert answer.status_code < 500, told
        if answer.status_code >= 400:
            assert set(answer.json()["error"]) == {"code", "message", "fields"}, told

    check()
