"""The main job: landing → plan → PayPal → activation → running pod → killed → resumed → stopped → receipt."""

from __future__ import annotations

import re
import uuid

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.site import Site

SECOND = 1000


def step_of(page: Page) -> int:
    """The last step that the log shows."""
    lines = page.locator("#log .line").all_inner_texts()
    steps = [int(found.group(1)) for line in lines if (found := re.search(r"\bstep (\d+)", line))]
    return steps[-1] if steps else -1


def wait_for_step(page: Page, at_least: int, *, seconds: float = 30) -> int:
    page.wait_for_function(
        """least => { const lines = [...document.querySelectorAll("#log .line")].map(l => l.textContent);
          const steps = lines.map(l => /\\bstep (\\d+)/.exec(l)).filter(Boolean).map(m => +m[1]);
          return steps.length > 0 && steps.at(-1) >= least; }""",
        arg=at_least,
        timeout=seconds * SECOND,
    )
    return step_of(page)


def read_mail(page: Page, site: Site, pattern: str) -> str:
    """What `pattern` finds in the newest mail that has it, in the sandbox mailbox of this visitor."""
    page.goto(f"{site.url}/mailbox/")
    found = re.search(pattern, page.content())
    assert found, page.inner_text("main")
    return found.group(0)


def pay_at_paypal(page: Page) -> None:
    expect(page.get_by_text("Sandbox PayPal", exact=False).first).to_be_visible()
    page.get_by_role("button", name="Approve").click()


def choose_plan(page: Page, site: Site, email: str) -> None:
    page.goto(site.url)
    expect(page.locator("table tbody tr").first).to_be_visible()
    page.get_by_role("link", name="Plans").first.click()
    page.get_by_role("link", name="Choose Pro").click()
    page.get_by_label("Name").fill("Ana Paredes")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Country").select_option("EC")
    page.get_by_label("Tax id").select_option("cedula")
    page.get_by_label("Number").fill("1710034066")  # one digit off
    page.get_by_label("I accept").check()
    page.get_by_role("button", name=re.compile("Pay")).click()
    expect(page.get_by_text("not a valid cédula", exact=False)).to_be_visible()
    assert page.get_by_label("Email").input_value() == email
    page.get_by_label("Number").fill("1710034065")
    page.get_by_role("button", name=re.compile("Pay")).click()


def activate(page: Page, site: Site) -> None:
    expect(page.get_by_role("heading", name="Check your email")).to_be_visible()
    key = read_mail(page, site, r"act_[\w-]{20,}")
    page.goto(f"{site.url}/activate/")
    page.get_by_label("Activation key").fill("act_wrong")
    page.get_by_role("button", name="Activate").click()
    expect(page.get_by_text("unknown", exact=False).first).to_be_visible()
    page.get_by_label("Activation key").fill(key)
    page.get_by_role("button", name="Activate").click()
    page.wait_for_url("**/ready/", timeout=40 * SECOND)


def top_up(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/billing/top-up/")
    page.get_by_label("Another amount").fill("25.00")
    page.get_by_label("PayPal").check()
    page.get_by_role("button", name="Pay", exact=True).click()
    pay_at_paypal(page)
    expect(page.get_by_text("$25.00").first).to_be_visible()


def kill_process(page: Page, pod_url: str) -> None:
    """And see it come back from where it was."""
    page.goto(pod_url)
    before = wait_for_step(page, 30)
    page.get_by_role("link", name=re.compile("Kill its process")).click()
    page.get_by_role("button", name="Kill its process").click()
    after = wait_for_step(page, before + 10)
    assert after > before
    page.goto(f"{pod_url}?tab=checkpoints")
    expect(page.locator("#pod-tab tbody tr").first).to_be_visible()
    page.goto(pod_url)
    expect(page.locator("#pod-side").get_by_text("Restarts")).to_be_visible()


def end_pod(page: Page, pod_url: str) -> None:
    page.get_by_role("link", name=re.compile("^Stop")).click()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#pod .status").first).to_have_text("Stopped", timeout=30 * SECOND)
    page.get_by_role("link", name=re.compile("^Terminate")).click()
    page.get_by_role("button", name="Terminate").click()
    name = page.locator("main b").first.inner_text()
    page.locator('input[name="name"]').fill(name)
    page.get_by_role("button", name="Terminate").click()
    expect(page.locator("#pod .status").first).to_have_text("Terminated", timeout=60 * SECOND)
    page.goto(f"{pod_url}?tab=billing")
    expect(page.get_by_text("Signed receipt").first).to_be_visible()


@pytest.mark.browser
def test_from_landing_to_receipt(page: Page, site: Site) -> None:
    choose_plan(page, site, f"ana-{uuid.uuid4().hex[:8]}@example.com")
    pay_at_paypal(page)
    activate(page, site)

    page.get_by_role("link", name="Watch it live").click()
    pod_url = page.url
    step = wait_for_step(page, 5)
    assert wait_for_step(page, step + 5) > step

    top_up(page, site)
    kill_process(page, pod_url)
    end_pod(page, pod_url)

    site.manage("check_ledger")
    site.manage("check_audit")
