"""A plan that PayPal renews, in a browser: chosen, agreed to on PayPal's page, changed, cancelled; under our policy."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from billing.models import Subscription
from tests.people import Person


@pytest.fixture
def open_plan(
    transactional_db: None, live_server: Any, page: Page, owner: Person, paypal: str, settings: Any
) -> Callable[[], list[str]]:
    """The page of the plan; what the browser complains of is listed."""
    expect.set_options(timeout=20_000)
    settings.PUBLIC_URL = live_server.url
    settings.CSRF_TRUSTED_ORIGINS = [live_server.url]
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def go() -> list[str]:
        session = owner.client.cookies[settings.SESSION_COOKIE_NAME].value
        page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page.goto(f"{live_server.url}/billing/plan/")
        return complaints

    return go


def test_renew_with_paypal(open_plan: Callable[[], list[str]], page: Page) -> None:
    complaints = open_plan()
    pro = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=re.compile("^Pro")))
    pro.get_by_label("Renew it each month").check()
    pro.get_by_role("button", name="Choose Pro").click()
    page.get_by_role("button", name="Agree to $49.00 USD a month").click()
    expect(page).to_have_url(re.compile("/billing/receipts/pay_"))
    page.goto(re.sub("/receipts/.*", "/plan/", page.url))
    expect(page.get_by_text("Next renewal")).to_be_visible()
    page.get_by_role("link", name="Change to Team").click()
    page.get_by_role("button", name="Go on to PayPal").click()
    page.get_by_role("button", name="Agree to $299.00 USD a month").click()
    expect(page.get_by_text("Team from the next renewal on")).to_be_visible()
    page.get_by_text("Cancel the plan").first.click()
    page.get_by_label("Why?").select_option("unused")
    page.get_by_role("button", name="Cancel the plan").click()
    expect(page.get_by_role("button", name="Keep the plan after all")).to_be_visible()
    assert complaints == []
    assert Subscription.objects.get().cancel_at_period_end
