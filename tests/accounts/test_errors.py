"""Every refusal comes in the caller's form: JSON to programs, a fragment to HTMX, a page to people."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path

from accounts.requests import Request
from config.api import api
from lib.errors import Conflict, TooMany
from tests.people import Caller, Person

pytestmark = pytest.mark.django_db


def refuse(request: Request) -> HttpResponse:
    raise Conflict("It <b>runs</b> already.", fields={"name": ["Taken."]})


def slow_down(request: Request) -> HttpResponse:
    raise TooMany("Slowly.", retry_after_s=7)


def break_down(request: Request) -> HttpResponse:
    raise RuntimeError("secret detail")


urlpatterns = [
    path("conflict/", refuse),
    path("too-many/", slow_down),
    path("broken/", break_down),
    path("api/v2/", api.urls),
    path("", include("config.urls")),
]
handler404 = "config.errors.not_found"
handler500 = "config.errors.server_error"


@pytest.fixture
def client(settings: Any) -> Client:
    settings.ROOT_URLCONF = __name__
    return Client(raise_request_exception=False)


def test_page(client: Client) -> None:
    answer = client.get("/conflict/")
    assert answer.status_code == 409
    page = answer.content.decode()
    assert "It &lt;b&gt;runs&lt;/b&gt; already." in page
    assert "Taken." in page
    assert "<html" in page


def test_fragment(client: Client) -> None:
    answer = client.get("/conflict/", headers={"HX-Request": "true"})
    assert (answer.status_code, answer["HX-Retarget"]) == (409, "#toasts")
    assert "<html" not in answer.content.decode()


def test_json(client: Client) -> None:
    answer = client.get("/conflict/", headers={"Accept": "application/json"})
    fields = {"name": ["Taken."]}
    assert answer.json() == {"error": {"code": "conflict", "message": "It <b>runs</b> already.", "fields": fields}}


def test_retry_after(client: Client) -> None:
    assert client.get("/too-many/")["Retry-After"] == "7"


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}, {"Accept": "application/json"}])
def test_our_own_fault_tells_nothing(client: Client, headers: dict[str, str]) -> None:
    answer = client.get("/broken/", headers=headers)
    assert answer.status_code == 500
    assert "secret detail" not in answer.content.decode()
    assert "notified" in answer.content.decode()


def test_unknown_addresses() -> None:
    page = Client().get("/nowhere/")
    assert page.status_code == 404
    assert "<html" in page.content.decode()
    assert Client().get("/api/v2/nowhere").json()["error"]["code"] == "not_found"
    wrong_method = Client().put("/api/v2/auth/me")
    assert (wrong_method.status_code, wrong_method.json()["error"]["code"]) == (405, "method_not_allowed")
    assert wrong_method["Allow"] == "GET"


def test_signed_out_page_leads_to_sign_in() -> None:
    assert Client().get("/settings/keys/?x=1")["Location"] == "/account/login/?next=/settings/keys/%3Fx%3D1"
    assert Client().post("/settings/keys/")["Location"] == "/account/login/?next=/"
    hx = Client().get("/inbox/", headers={"HX-Request": "true", "HX-Current-URL": "http://127.0.0.1:8000/inbox/"})
    assert (hx.status_code, hx["HX-Redirect"]) == (401, "/account/login/?next=%2Finbox%2F")


def test_page_without_csrf_token(owner: Person) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies = owner.client.cookies
    answer = client.post("/settings/", {"name": "x"})
    assert answer.status_code == 403
    assert "Reload the page" in answer.content.decode()


@pytest.mark.parametrize(
    ("body", "kind"),
    [("{", "application/json"), ("[]", "application/json"), ("null", "application/json"), ("x", "text/plain")],
)
def test_bodies_that_are_none(body: str, kind: str) -> None:
    answer = Client().post("/api/v2/auth/login", body, content_type=kind)
    assert answer.status_code in {400, 422}
    assert answer.json()["error"]["code"]


@pytest.mark.parametrize("text", ["a\x00b@example.com", "\ud800@example.com", "a" * 5000 + "@example.com"])
def test_texts_that_cannot_be_stored(anonymous: Caller, text: str) -> None:
    answer = anonymous.api("post", "auth/login", {"email": text, "password": "x\x00y"})
    assert answer.status_code in {400, 422}


def test_names_that_cannot_be_stored(owner: Person) -> None:
    assert owner.organisation is not None
    route = f"organisations/{owner.organisation.public_id}"
    assert owner.api("patch", route, {"name": "a\x00b"}).status_code in {400, 422}
    assert owner.api("patch", route, {"name": "a\ud800b"}).status_code in {400, 422}
    assert owner.client.post("/settings/organisation/", {"name": "a\x00b"}).status_code == 422
