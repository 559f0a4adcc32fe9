"""What our adapters send is what the providers' public API descriptions allow."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from openapi_core import Config, OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest

from marketplace.providers.akash.adapter import Adapter as Akash
from marketplace.providers.base import Account, ProviderError
from marketplace.providers.lambda_labs.adapter import Adapter as Lambda
from marketplace.providers.runpod.adapter import Adapter as RunPod
from marketplace.providers.vast.adapter import Adapter as Vast
from tests.marketplace.samples import LAMBDA_REQUEST, REQUEST, RUNPOD_REQUEST, lambda_labs, runpod, vast
from tests.marketplace.scripted import KEY, Asked, Scripted

CONTRACTS = Path(__file__).parents[3] / "shared" / "contracts"

pytestmark = pytest.mark.skipif(not CONTRACTS.is_dir(), reason="the API descriptions are not beside this checkout")


class Description:
    """One provider's description. It need not be flawless itself: only our requests are checked against it."""

    def __init__(self, name: str) -> None:
        text = (CONTRACTS / name).read_text()
        content = json.loads(text) if name.endswith(".json") else yaml.load(text, yaml.CSafeLoader)
        self._server = content["servers"][0]["url"].rstrip("/")
        self._api = OpenAPI.from_dict(content, config=Config(spec_validator_cls=None))

    def check(self, asked: Asked, *, body: Any = None) -> None:
        """Validate one request, as if it had gone to the first server of the description."""
        url = f"{self._server}{asked.path.rstrip('/')}?{asked.query}"
        headers = {"Authorization": f"Bearer {KEY}"}
        request = requests.Request(asked.method, url, headers=headers, json=body or asked.body)
        self._api.validate_request(RequestsOpenAPIRequest(request))


def make_calls(adapter: Vast | RunPod | Lambda | Akash, *names: str) -> None:
    """Only what is sent matters here: the scripted answers are of no use to most calls."""
    for name in names:
        with suppress(ProviderError):
            getattr(adapter, name)(*(["501"] if name in {"get", "stop", "start", "terminate", "logs"} else []))


def test_runpod(provider: Scripted) -> None:
    runpod(provider).create(RUNPOD_REQUEST)
    make_calls(RunPod(provider.account()), "list_offers", "get", "stop", "start", "terminate", "logs")
    description = Description("runpod/openapi-v2.json")
    for asked in provider.asked:
        description.check(asked)
    assert len(provider.asked) >= 7


def test_vast(provider: Scripted) -> None:
    vast(provider).create(REQUEST)
    make_calls(Vast(provider.account()), "list_offers", "stop", "start", "terminate", "logs")
    description = Description("vast/openapi.yaml")
    for asked in provider.asked:
        body = asked.body
        if asked.path.startswith("/api/v0/bundles") and body["type"] == "on-demand":
            # The description's own example and the provider's client write it with a hyphen; its enum does not.
            body = {**body, "type": "ondemand"}
        description.check(asked, body=body)
    assert len(provider.asked) >= 7


def test_lambda(provider: Scripted) -> None:
    lambda_labs(provider).create(LAMBDA_REQUEST)
    make_calls(Lambda(provider.account()), "list_offers", "get")
    description = Description("lambda/openapi.json")
    for asked in provider.asked:
        description.check(asked)
    assert len(provider.asked) >= 5


def test_akash(provider: Scripted) -> None:
    make_calls(Akash(Account(key="", base_url=provider.url)), "list_offers")
    Description("akash/console-openapi.json").check(provider.asked[0])
