"""Stripe: cards, intents, refunds, errors, idempotency, lists, webhooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.conftest import Receiver, RunningPeer
from tests.sandbox.merchant import PUBLISHABLE, RETURN, WEBHOOK_SECRET, Merchant, card_form


@pytest.fixture
def merchant(shared_peer: Callable[[str], RunningPeer]) -> Merchant:
    return Merchant(shared_peer("stripe"))


@pytest.fixture
def told(own_peer: Callable[..., RunningPeer], receiver: Receiver) -> tuple[Merchant, Receiver]:
    """A merchant with a webhook address."""
    return Merchant(own_peer("stripe", "--webhook-url", receiver.url)), receiver


class TestRequests:
    def test_needs_the_secret_key(self, merchant: Merchant) -> None:
        for key in ("sk_test_other", PUBLISHABLE):
            client: Any = stripe.StripeClient(key, base_addresses={"api": merchant.peer.url}, max_network_retries=0)
            with pytest.raises(stripe.AuthenticationError):
                client.v1.customers.list()
        answer = requests.get(f"{merchant.peer.url}/v1/customers", timeout=5)
        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "invalid_request_error")

    def test_what_it_does_not_know_is_refused(self, merchant: Merchant) -> None:
        customers = merchant.api.customers
        with merchant.refused(stripe.InvalidRequestError, "parameter_unknown") as caught:
            customers.create({"emial": "a@example.com"})
        assert (caught[0].http_status, caught[0].param) == (400, "emial")
        with merchant.refused(stripe.InvalidRequestError, "parameter_unknown") as caught:
            customers.create({"address": {"town": "Quito"}})
        assert caught[0].param == "address[town]"
        with merchant.refused(stripe.InvalidRequestError, "parameter_missing"):
            merchant.api.payment_intents.create({"currency": "usd"})
        with merchant.refused(stripe.InvalidRequestError, "parameter_invalid_integer"):
            merchant.api.payment_intents.create({"amount": "12.50", "currency": "usd"})
        with merchant.refused(stripe.InvalidRequestError, "amount_too_small"):
            merchant.api.payment_intents.create({"amount": 49, "currency": "usd"})
        with merchant.refused(stripe.InvalidRequestError, "invalid_currency"):
            merchant.api.payment_intents.create({"amount": 500, "currency": "eur"})
        with merchant.refused(stripe.InvalidRequestError, "resource_missing") as caught:
            customers.retrieve("cus_none")
        assert caught[0].http_status == 404
        assert merchant.peer.post("/v1/nothing").status_code == 404

    def test_an_older_shape_is_refused(self, merchant: Merchant) -> None:
        headers = {**merchant.peer.headers, "Authorization": "Bearer sk_test_merchant"}
        answer = merchant.peer.get("/v1/customers", headers={**headers, "Stripe-Version": "2023-08-16"})
        assert answer.status_code == 400
        assert merchant.peer.get("/v1/customers", headers=headers).headers["stripe-version"] == stripe.api_version

    def test_metadata_is_merged_and_unset(self, merchant: Merchant) -> None:
        made = merchant.api.customers.create({"metadata": {"a": "1", "b": "2"}, "name": "Ana"})
        merchant.api.customers.update(made.id, {"metadata": {"a": "", "c": "3"}, "name": ""})
        again = merchant.api.customers.retrieve(made.id)
        assert (again.metadata.to_dict(), again.name) == ({"b": "2", "c": "3"}, None)

    def test_lists_go_in_pages(self, merchant: Merchant) -> None:
        ids = [merchant.api.customers.create({"email": f"{number}@example.com"}).id for number in range(5)]
        first = merchant.api.customers.list({"limit": 2})
        assert ([each.id for each in first.data], first.has_more) == (ids[:2:-1], True)
        rest = merchant.api.customers.list({"limit": 3, "starting_after": first.data[-1].id})
        assert ([each.id for each in rest.data], rest.has_more) == (ids[2::-1], False)
        assert [each.id for each in merchant.api.customers.list({"limit": 2}).auto_paging_iter()] == ids[::-1]
        assert [each.id for each in merchant.api.customers.list({"email": "3@example.com"}).data] == [ids[3]]
        with merchant.refused(stripe.InvalidRequestError, "parameter_invalid_integer"):
            merchant.api.customers.list({"limit": 101})

    def test_ids_are_expanded(self, merchant: Merchant) -> None:
        customer = merchant.customer("")
        paid = merchant.pay(customer=customer.id, expand=["latest_charge.balance_transaction", "customer"])
        assert paid.customer.email == "buyer@example.com"
        assert (paid.latest_charge.balance_transaction.fee, paid.latest_charge.balance_transaction.net) == (103, 2397)
        with merchant.refused(stripe.InvalidRequestError, "property_expansion_invalid"):
            merchant.api.customers.retrieve(customer.id, {"expand": ["email.address"]})


class TestIdempotency:
    def test_the_first_answer_is_given_again(self, merchant: Merchant) -> None:
        body = {"amount": 700, "currency": "usd"}
        first, again = (merchant.api.payment_intents.create(body, {"idempotency_key": "k1"}) for _ in range(2))
        assert first.id == again.id
        assert "idempotent-replayed" not in first.last_response.headers
        assert again.last_response.headers["idempotent-replayed"] == "true"

    def test_another_body_with_the_same_key_is_refused(self, merchant: Merchant) -> None:
        merchant.api.payment_intents.create({"amount": 700, "currency": "usd"}, {"idempotency_key": "k1"})
        with merchant.refused(stripe.IdempotencyError) as caught:
            merchant.api.payment_intents.create({"amount": 701, "currency": "usd"}, {"idempotency_key": "k1"})
        assert (caught[0].http_status, caught[0].error.type) == (400, "idempotency_error")

    def test_a_decline_is_remembered_a_wrong_parameter_is_not(self, merchant: Merchant) -> None:
        body = {"amount": 700, "currency": "usd", "payment_method": "pm_card_chargeDeclined", "confirm": True}
        for _ in range(2):
            with merchant.refused(stripe.CardError, "card_declined"):
                merchant.api.payment_intents.create({**body, "return_url": RETURN}, {"idempotency_key": "k1"})
        assert len(merchant.api.charges.list().data) == 1
        with merchant.refused(stripe.InvalidRequestError, "parameter_unknown"):
            merchant.api.customers.create({"nmae": "Ana"}, {"idempotency_key": "k2"})
        assert merchant.api.customers.create({"name": "Ana"}, {"idempotency_key": "k2"}).name == "Ana"

    def test_an_answer_lost_on_the_way_is_found_by_its_key(self, merchant: Merchant) -> None:
        merchant.peer.fault("drop_answer_after_create", count=1)
        with pytest.raises(stripe.APIConnectionError):
            merchant.api.customers.create({"name": "Ana"}, {"idempotency_key": "k1"})
        made = merchant.api.customers.create({"name": "Ana"}, {"idempotency_key": "k1"})
        assert [each.id for each in merchant.api.customers.list().data] == [made.id]

    def test_it_survives_a_restart(self, own_peer: Callable[..., RunningPeer]) -> None:
        before = Merchant(own_peer("stripe"))
        first = before.api.customers.create({"name": "Ana"}, {"idempotency_key": "k1"})
        before.peer.stop()
        after = Merchant(own_peer("stripe"))
        assert after.api.customers.create({"name": "Ana"}, {"idempotency_key": "k1"}).id == first.id

    @pytest.mark.parametrize(
        ("mode", "kind"),
        [("http_500", stripe.APIError), ("rate_limit", stripe.RateLimitError), ("html", stripe.APIError)],
    )
    def test_bad_days(self, merchant: Merchant, mode: str, kind: type[stripe.StripeError]) -> None:
        merchant.peer.fault(mode, path="/v1/customers", count=1)
        with pytest.raises(kind):
            merchant.api.customers.create({})
        assert merchant.api.customers.list().data == []


class TestCards:
    def test_attached_once_and_never_again(self, merchant: Merchant) -> None:
        first, second = merchant.customer("pm_card_visa"), merchant.customer("")
        method = merchant.api.customers.payment_methods.list(first.id).data[0]
        assert (method.card.last4, method.customer) == ("4242", first.id)
        with merchant.refused(stripe.InvalidRequestError, "payment_method_unexpected_state"):
            merchant.api.payment_methods.attach(method.id, {"customer": second.id})
        merchant.api.payment_methods.detach(method.id)
        assert merchant.api.customers.retrieve(first.id).invoice_settings.default_payment_method is None
        with merchant.refused(stripe.InvalidRequestError, "payment_method_unexpected_state"):
            merchant.api.payment_methods.attach(method.id, {"customer": first.id})

    def test_the_same_card_has_the_same_fingerprint(self, merchant: Merchant) -> None:
        prints = []
        for card in ("pm_card_visa", "pm_card_visa", "pm_card_mastercard"):
            method = merchant.api.payment_methods.attach(card, {"customer": merchant.customer("").id})
            prints.append(method.card.fingerprint)
        assert prints[0] == prints[1] != prints[2]

    def test_a_card_of_another_customer_is_refused(self, merchant: Merchant) -> None:
        owner, other = merchant.customer("pm_card_visa"), merchant.customer("")
        method = merchant.api.customers.payment_methods.list(owner.id).data[0]
        for customer in ({}, {"customer": other.id}):
            with merchant.refused(stripe.InvalidRequestError, "resource_missing"):
                merchant.pay(method.id, **customer)

    @pytest.mark.parametrize(
        ("card", "code", "decline"),
        [
            ("chargeDeclined", "card_declined", "generic_decline"),
            ("chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
            ("chargeDeclinedExpiredCard", "expired_card", None),
            ("chargeCustomerFail", "card_declined", "generic_decline"),
        ],
    )
    def test_refused(self, merchant: Merchant, card: str, code: str, decline: str | None) -> None:
        with merchant.refused(stripe.CardError, code) as caught:
            merchant.pay(f"pm_card_{card}")
        error = caught[0].error
        assert (caught[0].http_status, error.to_dict().get("decline_code")) == (402, decline)
        intent = merchant.api.payment_intents.retrieve(error.payment_intent.id)
        assert (intent.status, intent.last_payment_error.code) == ("requires_payment_method", code)
        assert merchant.api.charges.retrieve(intent.latest_charge).status == "failed"
        assert merchant.api.balance.retrieve().available[0].amount == 0

    def test_a_bad_card_cannot_be_stored_but_one_only_fails_later(self, merchant: Merchant) -> None:
        customer = merchant.customer("")
        with merchant.refused(stripe.CardError, "card_declined"):
            merchant.api.payment_methods.attach("pm_card_chargeDeclined", {"customer": customer.id})
        stored = merchant.use_card(customer.id, "pm_card_chargeCustomerFail")
        with merchant.refused(stripe.CardError, "card_declined"):
            merchant.pay(stored, customer=customer.id, off_session=True)

    def test_a_server_sends_no_numbers(self, merchant: Merchant) -> None:
        card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"}
        with pytest.raises(stripe.StripeError, match="generally unsafe"):
            merchant.api.payment_methods.create({"type": "card", "card": card})


class TestPayer:
    """3-D Secure, and what a browser may do with the publishable key."""

    def answer(self, intent: Any, action: str) -> requests.Response:
        page = intent.next_action.redirect_to_url.url
        assert "Complete authentication" in requests.get(page, timeout=5).text
        form = {"client_secret": intent.client_secret, "action": action}
        return requests.post(page, data=form, allow_redirects=False, timeout=5)

    def test_the_bank_asks(self, merchant: Merchant) -> None:
        intent = merchant.pay("pm_card_authenticationRequired")
        assert (intent.status, intent.next_action.redirect_to_url.return_url) == ("requires_action", RETURN)
        back = self.answer(intent, "complete").headers["location"]
        assert back.startswith(f"{RETURN}&payment_intent={intent.id}")
        assert back.endswith("redirect_status=succeeded")
        assert merchant.api.payment_intents.retrieve(intent.id).status == "succeeded"

    def test_the_payer_fails_and_tries_another_card(self, merchant: Merchant) -> None:
        intent = merchant.pay("pm_card_authenticationRequired")
        assert self.answer(intent, "fail").headers["location"].endswith("redirect_status=failed")
        intent = merchant.api.payment_intents.retrieve(intent.id)
        assert intent.last_payment_error.code == "payment_intent_authentication_failure"
        assert merchant.api.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"}).status == "succeeded"

    def test_a_card_that_was_set_up_is_charged_without_the_payer(self, merchant: Merchant) -> None:
        customer = merchant.customer("")
        with merchant.refused(stripe.CardError, "authentication_required") as caught:
            merchant.pay("pm_card_authenticationRequiredOnSetup", customer=customer.id, off_session=True)
        assert caught[0].error.payment_intent.status == "requires_payment_method"
        setup = merchant.api.setup_intents.create(
            {
                "customer": customer.id,
                "payment_method": "pm_card_authenticationRequiredOnSetup",
                "confirm": True,
                "return_url": RETURN,
            }
        )
        assert setup.status == "requires_action"
        self.answer(setup, "complete")
        setup = merchant.api.setup_intents.retrieve(setup.id)
        assert setup.status == "succeeded"
        assert merchant.pay(setup.payment_method, customer=customer.id, off_session=True).status == "succeeded"

    def test_a_browser_stores_a_card(self, merchant: Merchant) -> None:
        customer = merchant.customer("")
        setup = merchant.api.setup_intents.create({"customer": customer.id})
        path = f"/v1/setup_intents/{setup.id}/confirm"
        done = merchant.browser(path, client_secret=setup.client_secret, **card_form())
        assert (done["status"], "customer" in done) == ("succeeded", False)
        assert merchant.api.customers.payment_methods.list(customer.id).data[0].card.last4 == "4242"

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"number": "4242424242424241"}, "incorrect_number"),
            ({"number": "4111111111111111"}, "card_declined"),
            ({"exp_year": "2020"}, "invalid_expiry_year"),
            ({"exp_month": "13"}, "invalid_expiry_month"),
            ({"cvc": "12"}, "invalid_cvc"),
            ({"number": "4000000000000002"}, "card_declined"),
        ],
    )
    def test_a_browser_gives_a_bad_card(self, merchant: Merchant, change: dict[str, str], code: str) -> None:
        setup = merchant.api.setup_intents.create({})
        path = f"/v1/setup_intents/{setup.id}/confirm"
        refused = merchant.browser(path, client_secret=setup.client_secret, **card_form(**change))
        assert refused["error"]["code"] == code
        assert merchant.api.setup_intents.retrieve(setup.id).status == "requires_payment_method"

    def test_a_browser_needs_the_client_secret(self, merchant: Merchant) -> None:
        intent = merchant.api.payment_intents.create({"amount": 500, "currency": "usd"})
        path = f"/v1/payment_intents/{intent.id}/confirm"
        assert merchant.browser(path, **card_form())["error"]["code"] == "parameter_missing"
        wrong = merchant.browser(path, client_secret=f"{intent.id}_secret_guess", **card_form())
        assert wrong["error"]["code"] == "resource_missing"
        assert merchant.browser("/v1/refunds", charge="ch_1")["error"]["code"] == "secret_key_required"


class TestIntent:
    def test_ends_once(self, merchant: Merchant) -> None:
        paid = merchant.pay()
        for verb in (merchant.api.payment_intents.confirm, merchant.api.payment_intents.cancel):
            with merchant.refused(stripe.InvalidRequestError, "payment_intent_unexpected_state"):
                verb(paid.id)
        waiting = merchant.api.payment_intents.create({"amount": 500, "currency": "usd"})
        merchant.api.payment_intents.update(waiting.id, {"amount": 600})
        ended = merchant.api.payment_intents.cancel(waiting.id, {"cancellation_reason": "abandoned"})
        assert (ended.status, ended.amount) == ("canceled", 600)

    def test_without_a_card_it_cannot_be_confirmed(self, merchant: Merchant) -> None:
        intent = merchant.api.payment_intents.create({"amount": 500, "currency": "usd"})
        with merchant.refused(stripe.InvalidRequestError, "payment_intent_unexpected_state"):
            merchant.api.payment_intents.confirm(intent.id)


class TestRefund:
    def test_in_parts_and_never_more_than_came_in(self, merchant: Merchant) -> None:
        paid = merchant.pay(amount=2500)
        refunds = merchant.api.refunds
        part = refunds.create({"payment_intent": paid.id, "amount": 1000, "metadata": {"our": "1"}})
        assert (part.status, part.charge) == ("succeeded", paid.latest_charge)
        with merchant.refused(stripe.InvalidRequestError):
            refunds.create({"payment_intent": paid.id, "amount": 1501})
        assert refunds.create({"charge": paid.latest_charge}).amount == 1500
        with merchant.refused(stripe.InvalidRequestError, "charge_already_refunded"):
            refunds.create({"charge": paid.latest_charge})
        charge = merchant.api.charges.retrieve(paid.latest_charge)
        assert (charge.refunded, charge.amount_refunded) == (True, 2500)
        assert merchant.api.balance.retrieve().available[0].amount == -103  # Stripe keeps its fee
        assert len(refunds.list({"payment_intent": paid.id}).data) == 2

    def test_the_bank_may_send_it_back(self, merchant: Merchant) -> None:
        paid = merchant.pay("pm_card_refundFail")
        refund = merchant.api.refunds.create({"payment_intent": paid.id})
        refund = merchant.api.refunds.retrieve(refund.id)
        assert (refund.status, refund.failure_reason) == ("failed", "expired_or_canceled_card")
        assert merchant.api.charges.retrieve(paid.latest_charge).amount_refunded == 0
        assert merchant.events("charge.refunded", "refund.failed") == ["charge.refunded", "refund.failed"]


class TestWebhooks:
    def test_signed_over_the_very_bytes(self, told: tuple[Merchant, Receiver]) -> None:
        merchant, receiver = told
        customer = merchant.customer("")
        note = receiver.next()
        header = note.headers["stripe-signature"]
        event = stripe.Webhook.construct_event(note.raw, header, WEBHOOK_SECRET)
        assert (event.type, event.data.object.id) == ("customer.created", customer.id)
        assert event.api_version == stripe.api_version
        for raw, secret in ((note.raw + b" ", WEBHOOK_SECRET), (note.raw, "whsec_other")):
            with pytest.raises(stripe.SignatureVerificationError):
                stripe.Webhook.construct_event(raw, header, secret)

    def test_tell_of_a_payment_in_its_order(self, told: tuple[Merchant, Receiver]) -> None:
        merchant, receiver = told
        paid = merchant.pay()
        events = [receiver.next().event for _ in range(3)]
        assert [event["type"] for event in events] == [
            "payment_intent.created",
            "charge.succeeded",
            "payment_intent.succeeded",
        ]
        assert events[2]["data"]["object"]["id"] == paid.id
        assert events[2]["request"]["id"] == paid.last_response.request_id
        assert merchant.api.events.retrieve(events[2]["id"]).data.object.amount_received == 2500

    def test_sent_again_until_taken(self, told: tuple[Merchant, Receiver]) -> None:
        merchant, receiver = told
        receiver.statuses = [500]
        merchant.customer("")
        assert receiver.next().event == receiver.next().event
        merchant.peer.wait(lambda: self.deliveries(merchant)[0]["state"] == "delivered")
        assert self.deliveries(merchant)[0]["attempts"] == 2

    def test_doubled_out_of_order_and_held_back_on_demand(self, told: tuple[Merchant, Receiver]) -> None:
        merchant, receiver = told
        merchant.peer.post("/sandbox/webhooks", json={"paused": True, "copies": 2, "disorder": True})
        first, second = merchant.customer(""), merchant.customer("")
        assert [each["state"] for each in self.deliveries(merchant)] == ["waiting"] * 4
        merchant.peer.post("/sandbox/webhooks", json={"paused": False})
        objects = [receiver.next().event["data"]["object"]["id"] for _ in range(4)]
        assert objects == [second.id, second.id, first.id, first.id]

    def test_sent_again_on_request(self, told: tuple[Merchant, Receiver]) -> None:
        merchant, receiver = told
        merchant.customer("")
        event = receiver.next().event
        assert merchant.peer.post(f"/sandbox/events/{event['id']}/resend").status_code == 200
        assert receiver.next().event == event

    def deliveries(self, merchant: Merchant) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = merchant.peer.get("/sandbox/webhooks").json()["deliveries"]
        return found
