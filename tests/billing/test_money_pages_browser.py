"""The pages of the wallet and of staff in a browser: nothing sticks out at any width, and axe finds nothing."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from accounts.models import Organisation
from billing.models import Payment, Refund
from lib.clock import now
from tests.billing.money import fund
from tests.people import Person

AXE = Path("node_modules/axe-core/axe.min.js")
RULES = "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']}).then((r) => r.violations.map((v) => v.id))"
WIDTHS = (360, 820, 1440)
NAMES = ("customers", "transactions", "refunds", "costs", "reconciliation")


@pytest.fixture
def payment(transactional_db: None, organisation: Organisation) -> Payment:
    fund(organisation, "1234.56")
    for currency in ("USDC", "CREDIT"):
        fund(organisation, "3.5", currency)
    row = Payment.objects.create(
        organisation=organisation,
        purpose=Payment.Purpose.TOP_UP,
        amount=Decimal(25),
        status="captured",
        order_ref="5O190127TN364715T",
        captured_at=now() - timedelta(hours=1),
    )
    Refund.objects.create(payment=row, service="paypal", origin="staff", amount=1, currency="USD", reason="asked for")
    return row


def check(page: Page, address: str) -> None:
    page.goto(address)
    page.evaluate(AXE.read_text())
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{address} is {wide} px wide at {width} px"
        assert page.evaluate(RULES) == [], f"{address} at {width} px"


def sign_in(page: Page, person: Person, url: str, settings: Any) -> None:
    session = person.client.cookies[settings.SESSION_COOKIE_NAME].value
    page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": url}])


def test_pages_of_staff(payment: Payment, staff: Person, live_server: Any, page: Page, settings: Any) -> None:
    sign_in(page, staff, live_server.url, settings)
    rows = [f"customers/{payment.organisation.public_id}", f"transactions/{payment.public_id}"]
    for name in (*NAMES, *rows):
        check(page, f"{live_server.url}/staff/{name}/")


def test_pages_of_the_wallet(payment: Payment, owner: Person, live_server: Any, page: Page, settings: Any) -> None:
    sign_in(page, owner, live_server.url, settings)
    for name in ("", "history/", "alerts/"):
        check(page, f"{live_server.url}/billing/{name}")


def test_who_was_refused_is_led_to_what_is_wrong(
    payment: Payment, owner: Person, live_server: Any, page: Page, settings: Any
) -> None:
    """The focus is on what is wrong, and from there on the field: the form may stand far below the top of its page."""
    sign_in(page, owner, live_server.url, settings)
    page.goto(f"{live_server.url}/billing/top-up/")
    page.get_by_label("Another amount").fill("abc")
    page.get_by_role("button", name="Pay").click()
    page.locator("[data-form-errors]:focus").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.type("x")
    assert page.get_by_label("Another amount").input_value() == "xabc"
