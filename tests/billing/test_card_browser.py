"""The page of cards in a browser: Stripe's own fields, the bank's question, a refusal; under our content policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from billing.models import PaymentMethod
from tests.people import Person


@pytest.fixture
def open_page(
    transactional_db: None, live_server: Any, page: Page, owner: Person, stripe: str, settings: Any
) -> Callable[[], list[str]]:
    """The page with its fields for a card; what the browser complains of is listed."""
    expect.set_options(timeout=20_000)
    settings.PUBLIC_URL = live_server.url
    settings.CSRF_TRUSTED_ORIGINS = [live_server.url]
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def go() -> list[str]:
        session = owner.client.cookies[settings.SESSION_COOKIE_NAME].value
        page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page.goto(f"{live_server.url}/billing/methods/")
        page.get_by_role("button", name="Add a card").click()
        page.get_by_text("Test cards: no real money").click()
        return complaints

    return go


def save(page: Page, number: str) -> None:
    page.get_by_role("button", name=number).click()
    page.get_by_role("button", name="Save the card").click()


def test_a_card_is_saved(open_page: Callable[[], list[str]], page: Page) -> None:
    complaints = open_page()
    save(page, "4242 4242 4242 4242")
    expect(page.get_by_text("Visa ···· 4242")).to_be_visible()
    expect(page.get_by_text("default", exact=True)).to_be_visible()
    assert complaints == []
    assert PaymentMethod.objects.get().last4 == "4242"


def test_the_bank_asks_and_a_card_is_refused(open_page: Callable[[], list[str]], page: Page) -> None:
    open_page()
    save(page, "4000 0000 0000 0002")
    expect(page.locator("[data-card-said]")).to_have_text("Your card was declined.")
    assert not PaymentMethod.objects.exists()
    save(page, "4000 0025 0000 3155")
    page.get_by_role("button", name="Complete authentication").click()
    expect(page.get_by_text("Visa ···· 3155")).to_be_visible()
