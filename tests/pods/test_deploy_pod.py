"""Drafts, estimates, what stands in the way, and one pod for one key."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from accounts import actor
from accounts.audit import verify_chain
from accounts.models import AuditEntry, Organisation
from billing.models import Subscription
from lib.clock import now
from lib.errors import AppError, Conflict, Forbidden, Invalid, PaymentRequired
from marketplace.models import Offer
from pods import deploy as deployment
from pods.configs import change_config, create_config
from pods.models import Payer, Pod, PodConfig, PodTemplate
from pods.places import open_env
from pods.seeds import seed
from tests.patience import PATIENCE_S
from tests.pods.driving import Bench, deploy
from tests.pods.market import cheapest, fund

Benches = Callable[..., Bench]
Configs = Callable[..., PodConfig]


def codes(config: PodConfig, offer: Offer | None) -> set[str]:
    return {problem.code for problem in deployment.validate(config, offer)}


def test_an_estimate_is_all_in_and_adds_up(bench: Benches, config_of: Configs) -> None:
    bench("vast")
    offer = cheapest("vast", gpu_id="rtx-4090")
    found = deployment.estimate(config_of(disk_gb=100), offer)
    price = found.price
    assert price.gpu == offer.price_per_hour
    assert price.disk_running > 0
    assert price.per_hour == price.gpu + price.disk_running + price.fee
    assert price.per_day == price.per_hour * 24
    assert price.per_month == price.per_hour * 730
    assert found.runway_hours == pytest.approx(float(50 / price.per_hour))


def test_what_is_charged_is_what_was_shown(bench: Benches, config_of: Configs) -> None:
    from pods.models import Placement
    from tests.pods.driving import look

    bench("vast")
    offer = cheapest("vast", gpu_id="rtx-4090")
    config = config_of(disk_gb=100)
    shown = deployment.estimate(config, offer).price.per_hour
    look(deploy(config, offer))
    assert Placement.objects.get().price_per_hour == shown


def test_the_best_offer_is_chosen_when_none_is_named(bench: Benches, config_of: Configs) -> None:
    bench("vast")
    assert deployment.offer_for(config_of()) == cheapest("vast", gpu_id="rtx-4090")


def test_the_same_key_answers_the_same_pod(bench: Benches, config_of: Configs) -> None:
    bench("vast")
    config, offer = config_of(), cheapest("vast", gpu_id="rtx-4090")
    assert deploy(config, offer, "a") == deploy(config, offer, "a")
    assert deploy(config, offer, "b") != deploy(config, offer, "a")
    with pytest.raises(Conflict) as refusal:
        deploy(config_of(name="other"), offer, "a")
    assert refusal.value.code == "idempotency_key_reused"
    with pytest.raises(AppError):
        deploy(config, offer, "")


@pytest.mark.django_db(transaction=True)
def test_two_requests_with_one_key_at_once_make_one_pod(
    transactional_db: None, bench: Benches, config_of: Configs
) -> None:
    bench("vast")
    config, offer = config_of(), cheapest("vast", gpu_id="rtx-4090")
    start, made = threading.Barrier(3), []

    def request() -> None:
        try:
            start.wait(PATIENCE_S)
            made.append(deploy(config, offer, "one").pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=request) for _request in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(made) == 3
    assert len(set(made)) == 1
    assert Pod.objects.count() == 1


def test_a_price_that_moved_since_it_was_shown_is_asked_again(bench: Benches, config_of: Configs) -> None:
    bench("vast")
    config, offer = config_of(), cheapest("vast", gpu_id="rtx-4090")
    price = deployment.estimate(config, offer).price.per_hour
    with pytest.raises(Conflict) as refusal:
        deploy(config, offer, expected_price_per_hour=price / Decimal("1.03"))
    assert refusal.value.code == "price_changed"
    assert str(price) in refusal.value.fields["expected_price_per_hour"]
    assert deploy(config, offer, expected_price_per_hour=price / Decimal("1.01")).status == "queued"


def test_a_configuration_of_the_other_mode_cannot_be_deployed(bench: Benches, config_of: Configs) -> None:
    bench("vast")
    config, offer = config_of(), cheapest("vast", gpu_id="rtx-4090")
    PodConfig.objects.update(mode="LIVE")
    config.refresh_from_db()
    assert codes(config, offer) == {"wrong_mode"}
    with pytest.raises(Conflict):
        deploy(config, offer)
    assert not Pod.objects.exists()


@pytest.mark.parametrize(
    ("columns", "change", "code"),
    [
        ({}, {"withdrawn_at": True}, "not_usable"),
        ({}, {"available_count": 0}, "not_usable"),
        ({}, {"source": "list_price"}, "not_usable"),
        ({}, {"observed_at": True}, "not_usable"),
        ({"max_price_per_hour": Decimal("0.01")}, {}, "too_dear"),
        ({"disk_gb": 16_000}, {}, "too_large"),
        ({"min_vram_gb": 25}, {}, "too_large"),
        ({"ttl_hours": 8000}, {"max_duration_s": 3600}, "too_long"),
        ({"image": "", "command": ["true"]}, {}, "image_needed"),
        ({"command": ["catalyst-job:count"]}, {}, "own_nodes_only"),
        ({"payer": Payer.CREDITS}, {}, "credits_here_only"),
    ],
)
def test_what_stands_in_the_way_has_a_code_and_a_reason(
    bench: Benches, config_of: Configs, columns: dict[str, Any], change: dict[str, Any], code: str
) -> None:
    bench("vast")
    offer = cheapest("vast", gpu_id="rtx-4090")
    for name, value in change.items():
        setattr(offer, name, now() - timedelta(hours=3) if value is True else value)
    found = deployment.validate(config_of(**columns), offer)
    assert code in {problem.code for problem in found}
    assert all(problem.message and problem.field for problem in found)


def test_money_for_the_first_minutes_is_needed(bench: Benches, config_of: Configs, renter: Organisation) -> None:
    bench("vast")
    offer = cheapest("vast", gpu_id="rtx-4090")
    offer.price_per_hour = Decimal(1000)
    assert codes(config_of(), offer) == {"no_funds"}
    fund(renter, Decimal(1000))
    assert codes(config_of(), offer) == set()


def test_the_plan_limits_pods_that_run(bench: Benches, config_of: Configs, renter: Organisation) -> None:
    bench("vast")
    config, offer = config_of(), cheapest("vast", gpu_id="rtx-4090")
    deploy(config, offer, "1")
    deploy(config, offer, "2")
    with pytest.raises(Forbidden) as refusal:
        deploy(config, offer, "3")
    assert refusal.value.code == "plan_limit"
    Subscription.objects.create(
        organisation=renter, plan_id="pro", status="active", period_start=now(), period_end=now() + timedelta(days=30)
    )
    assert deploy(config, offer, "3").status == "queued"


def test_a_refusal_names_its_fields(bench: Benches, config_of: Configs) -> None:
    bench("vast")
    config, offer = config_of(), cheapest("vast", gpu_id="rtx-4090")
    offer.price_per_hour = Decimal(10**6)
    with pytest.raises(PaymentRequired) as refusal:
        deploy(config, offer)
    assert (refusal.value.status, refusal.value.code) == (402, "no_funds")
    assert "payer" in refusal.value.fields


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"name": "Bad Name"}, "name"),
        ({"name": ""}, "name"),
        ({"image": "a b; rm -rf /"}, "image"),
        ({"image": "", "command": []}, "image"),
        ({"command": ["a\x00b"]}, "command"),
        ({"ports": [0]}, "ports"),
        ({"ports": [80, 80]}, "ports"),
        ({"gpu_count": 0}, "gpu_count"),
        ({"disk_gb": 0}, "disk_gb"),
        ({"ttl_hours": 0}, "ttl_hours"),
        ({"kind": "cheap"}, "kind"),
        ({"gpu_query": "quantum 9000"}, "gpu_query"),
        ({"max_price_per_hour": Decimal(-1)}, "max_price_per_hour"),
        ({"spend_cap": Decimal(0)}, "spend_cap"),
        ({"payer": "somebody"}, "payer"),
        ({"payer": Payer.OWN_KEY}, "provider_account"),
        ({"restart_policy": "sometimes"}, "restart_policy"),
        ({"env": {"1BAD": "x"}}, "env"),
        ({"env": {"CATALYST_EPOCH": "9"}}, "env"),
        ({"env": {"BIG": "x" * 40_000}}, "env"),
    ],
)
def test_wrong_values_are_refused_beside_their_field(config_of: Configs, columns: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        config_of(**columns)
    assert field in refusal.value.fields
    assert not PodConfig.objects.exists()


def test_the_environment_is_sealed_and_opened_only_to_be_sent(config_of: Configs) -> None:
    config = config_of(env={"HF_TOKEN": "hf_secret"})
    assert b"hf_secret" not in bytes(config.sealed_env or b"")
    assert open_env(config) == {"HF_TOKEN": "hf_secret"}
    change_config(config, actor=actor.worker("test"), name="renamed")
    assert open_env(config) == {"HF_TOKEN": "hf_secret"}
    change_config(config, actor=actor.worker("test"), env={})
    assert open_env(config) == {}


def test_a_template_fills_what_is_not_given(renter: Organisation) -> None:
    seed()
    template = PodTemplate.objects.get(slug="count")
    config = create_config(
        organisation=renter, actor=actor.worker("test"), name="first", template=template, gpu_query="cpu"
    )
    assert config.command == ["catalyst-job:count", "--steps", "100000"]
    assert config.disk_gb == 1
    seed()
    assert PodTemplate.objects.count() == 5


def test_the_choice_of_an_offer_says_what_to_look_for_next(bench: Benches, config_of: Configs) -> None:
    bench("vast")
    offer = cheapest("vast", gpu_count=2)
    pod = deploy(config_of(gpu_query="", gpu_count=1), offer)
    assert (pod.gpu_count, pod.gpu_query, pod.kind, pod.offer) == (2, offer.gpu_id, offer.kind, offer)


def test_a_deployment_stands_in_the_timeline_and_in_the_audit_log(
    bench: Benches, config_of: Configs, renter: Organisation
) -> None:
    bench("vast")
    pod = deploy(config_of(), cheapest("vast", gpu_id="rtx-4090"))
    assert pod.events.get(kind="deployed").actor.startswith("user:")
    assert AuditEntry.objects.filter(organisation=renter, action="pod.deploy").count() == 1
    assert verify_chain(renter.pk) == []
