"""The endpoints of invoices, and how the money of one is collected."""

from __future__ import annotations

from sandbox.store import Document
from sandbox.stripe import invoices, payment_intents, payment_methods, settlement
from sandbox.stripe.documents import changed, listed, merge_metadata, shown
from sandbox.stripe.errors import Declined, Problem
from sandbox.stripe.expand import PARTS
from sandbox.stripe.forms import (
    Fields,
    currency,
    fields,
    flag,
    group,
    integer,
    metadata,
    one_of,
    positive,
    text,
    timestamp,
)
from sandbox.stripe.lists import BY_TIME, PAGING, lister, page
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import Call, World

KIND = "invoice"
STATUS = one_of("draft", "open", "paid", "uncollectible", "void")


def create(call: Call) -> Document:
    given, world = call.given, call.world
    customer = world.find("customer", given["customer"], param="customer")
    subscription = given.get("subscription")
    invoice = invoices.draft(
        world,
        customer,
        reason="manual",
        subscription=world.find("subscription", subscription, param="subscription") if subscription else None,
        auto_advance=given.get("auto_advance", False),
        metadata=given.get("metadata", {}),
        description=given.get("description"),
        default_payment_method=given.get("default_payment_method"),
    )
    if given.get("pending_invoice_items_behavior") == "include":
        invoice = invoices.take_pending(world, invoice, subscription)
    world.publish("invoice.created", invoice)
    return invoice


def update(call: Call) -> Document:
    old = call.world.find(KIND, call.id)
    if old["status"] != "draft" and set(call.given) - {"metadata", "auto_advance", "default_payment_method"}:
        raise Problem("Finalized invoices can't be updated in this way", code="invoice_not_editable")
    names = "description auto_advance default_payment_method"
    return call.world.change(old, "invoice.updated", **changed(old, call.given, names))


def delete(call: Call) -> Document:
    invoice = call.world.find(KIND, call.id)
    if invoice["status"] != "draft":
        raise Problem("You can only delete draft invoices.", code="invoice_not_editable")
    for item in call.world.of("invoiceitem", invoice=invoice["id"]):
        call.world.put({**item, "invoice": None})
    call.world.publish("invoice.deleted", invoice)
    return call.world.delete(invoice)


def finalize(call: Call) -> Document:
    return open_invoice(call.world, call.world.find(KIND, call.id))


def open_invoice(world: World, invoice: Document) -> Document:
    """Finalize: it gets a payment intent, or is paid already when it asks for nothing."""
    invoice = invoices.finalize(world, invoice)
    if invoice["amount_due"] == 0:
        return settlement.mark_paid(world, invoice, 0)
    intent = world.put(
        payment_intents.draft(
            world,
            {
                "amount": invoice["amount_due"],
                "currency": invoice["currency"],
                "customer": invoice["customer"],
                "description": "Subscription update" if invoice["_subscription"] else "Payment for Invoice",
                "setup_future_usage": "off_session" if invoice["_subscription"] else None,
                "invoice": invoice["id"],
            },
        )
    )
    world.publish("payment_intent.created", intent)
    payment = settlement.bind(world, invoice, intent)
    return world.put({**invoice, "_intent": intent["id"], "_payment": payment["id"]})


def default_method(world: World, invoice: Document) -> Document | None:
    """Of the invoice, else of its subscription, else of the customer."""
    subscription = world.get("subscription", invoice["_subscription"]) or {}
    customer = world.find("customer", invoice["customer"])
    own = customer["invoice_settings"]["default_payment_method"]
    id = invoice["default_payment_method"] or subscription.get("default_payment_method") or own
    return world.get("payment_method", id)


def collect(world: World, invoice: Document, method: Document | None = None, *, off_session: bool = True) -> Document:
    """Finalize if need be, and charge. Whatever comes of it stands on the invoice and its intent."""
    if invoice["status"] == "draft":
        invoice = open_invoice(world, invoice)
    if invoice["status"] not in ("open", "uncollectible"):
        return invoice
    method = method or default_method(world, invoice)
    if method is None:
        return settlement.mark_failed(world, invoice)
    intent = world.find("payment_intent", invoice["_intent"])
    payment_intents.attempt(world, intent, method, off_session=off_session, may_ask=True)
    return world.find(KIND, invoice["id"])


def pay(call: Call) -> Document:
    given, world = call.given, call.world
    invoice = world.find(KIND, call.id)
    if invoice["status"] == "paid":
        raise Problem("Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] == "void":
        raise Problem("This invoice can no longer be paid: it is void.", code="invoice_not_editable")
    if given.get("paid_out_of_band"):
        opened = invoice if invoice["status"] != "draft" else open_invoice(world, invoice)
        _drop_intent(world, opened)
        return settlement.mark_paid(world, opened, opened["amount_due"])
    chosen = given.get("payment_method")
    method = payment_methods.usable(world, chosen, invoice["customer"]) if chosen else default_method(world, invoice)
    if method is None and invoice["amount_due"] > 0:
        message = "There is no `default_payment_method` set on this Customer or Invoice. Please set either a Customer or Invoice"
        raise Problem(f"{message} default payment method.", code="invoice_payment_intent_requires_payment_method")
    invoice = collect(world, invoice, method, off_session=given.get("off_session", True))
    check_collected(world, invoice)
    return invoice


def check_collected(world: World, invoice: Document) -> None:
    """Raises Declined for an invoice that is still open after a try."""
    intent = world.get("payment_intent", invoice["_intent"])
    if invoice["status"] == "paid" or intent is None:
        return
    if intent["status"] == "requires_action":
        message = "This payment requires additional user action before it can be completed successfully."
        raise Declined(message, code="invoice_payment_intent_requires_action", object=intent)
    if intent["last_payment_error"]:
        raise payment_intents.as_declined(intent["last_payment_error"], intent)


def _drop_intent(world: World, invoice: Document) -> None:
    intent = world.get("payment_intent", invoice["_intent"])
    if intent and intent["status"] in payment_intents.OPEN:
        payment_intents.end(world, intent, "void_invoice")
    payment = settlement.payment_of(world, invoice)
    if payment:
        moments = {**payment["status_transitions"], "canceled_at": world.now(invoice["test_clock"])}
        world.put({**payment, "status": "canceled", "status_transitions": moments})


def void(call: Call) -> Document:
    return void_invoice(call.world, call.world.find(KIND, call.id))


def void_invoice(world: World, invoice: Document) -> Document:
    """As if it had never been: what the customer's balance gave goes back."""
    if invoice["status"] not in ("open", "uncollectible"):
        message = f"You can only pass in open or uncollectible invoices. This invoice isn't open ({invoice['status']})."
        raise Problem(message, code="invoice_not_editable")
    _drop_intent(world, invoice)
    if invoice["_applied"]:
        customer = world.find("customer", invoice["customer"])
        world.change(customer, "customer.updated", balance=customer["balance"] + invoice["_applied"])
    moments = {**invoice["status_transitions"], "voided_at": world.now(invoice["test_clock"])}
    invoice = world.put({**invoice, "status": "void", "status_transitions": moments, "auto_advance": False})
    world.publish("invoice.voided", invoice)
    settlement.reflect(world, invoice)
    return invoice


def give_up(call: Call) -> Document:
    invoice = call.world.find(KIND, call.id)
    if invoice["status"] != "open":
        raise Problem("You can only mark open invoices as uncollectible.", code="invoice_not_editable")
    moments = {
        **invoice["status_transitions"],
        "marked_uncollectible_at": call.world.now(invoice["test_clock"]),
    }
    invoice = call.world.put({**invoice, "status": "uncollectible", "status_transitions": moments})
    call.world.publish("invoice.marked_uncollectible", invoice)
    return invoice


def retrieve(call: Call) -> Document:
    return call.world.find(KIND, call.id)


def list_lines(call: Call) -> Document:
    invoice = call.world.find(KIND, call.id)
    rows = [{**row, "created": invoice["created"]} for row in reversed(invoice["lines"]["data"])]
    answer = page(call, rows, f"/v1/invoices/{invoice['id']}/lines", "line_item")
    answer["data"] = [{name: row[name] for name in row if name != "created"} for row in answer["data"]]
    return answer


def list_invoices(call: Call) -> Document:
    names = ("customer", "status", "collection_method")
    wanted = {name: call.given[name] for name in names if name in call.given}
    if call.given.get("subscription"):
        wanted["_subscription"] = call.given["subscription"]
    return page(call, call.world.of(KIND, **wanted), "/v1/invoices", KIND)


def list_payments(call: Call) -> Document:
    wanted = {name: call.given[name] for name in ("invoice", "status") if name in call.given}
    found = call.world.of("invoice_payment", **wanted)
    asked = (call.given.get("payment") or {}).get("payment_intent")
    found = [each for each in found if not asked or each["payment"]["payment_intent"] == asked]
    return page(call, found, "/v1/invoice_payments", "invoice_payment")


def create_item(call: Call) -> Document:
    given, world = dict(call.given), call.world
    customer = world.find("customer", given["customer"], param="customer")
    priced = (given.pop("pricing", None) or {}).get("price")
    if priced:
        given["price"] = world.find("price", priced, param="pricing[price]")
        given["amount"] = given["price"]["unit_amount"] * given.get("quantity", 1)
    if "amount" not in given:
        raise Problem("You must pass either `amount` or `pricing`.", code="parameter_missing", param="amount")
    item = invoices.add_item(world, customer, given)
    if item["invoice"]:
        invoice = world.find(KIND, item["invoice"], param="invoice")
        _check_draft(invoice)
        invoices.add_lines(world, invoice, [invoices.line_of(item)])
    return item


def _check_draft(invoice: Document) -> None:
    if invoice["status"] != "draft":
        raise Problem("This invoice is no longer editable", code="invoice_not_editable")


def retrieve_item(call: Call) -> Document:
    return call.world.find("invoiceitem", call.id)


def delete_item(call: Call) -> Document:
    item = call.world.find("invoiceitem", call.id)
    if item["invoice"]:
        raise Problem("You can only delete invoice items that are on no invoice.", code="invoice_not_editable")
    call.world.publish("invoiceitem.deleted", item)
    return call.world.delete(item)


def update_item(call: Call) -> Document:
    old = call.world.find("invoiceitem", call.id)
    if old["invoice"] and "amount" in call.given:
        _check_draft(call.world.find(KIND, old["invoice"]))
    new = changed(old, call.given, "amount description")
    new["metadata"] = merge_metadata(old["metadata"], call.given.get("metadata"))
    return call.world.put({**new, "net_amount": new["amount"]})


def _secret_of(world: World, invoice: Document) -> Document | None:
    intent = world.get("payment_intent", world.find(KIND, invoice["id"])["_intent"])
    return {"client_secret": intent["client_secret"], "type": "payment_intent"} if intent else None


def _payments_of(world: World, invoice: Document) -> Document:
    payment = settlement.payment_of(world, world.find(KIND, invoice["id"]))
    return listed([shown(payment)] if payment else [], f"/v1/invoice_payments?invoice={invoice['id']}")


PARTS[KIND, "confirmation_secret"] = _secret_of
PARTS[KIND, "payments"] = _payments_of
ITEM = {"description": text, "metadata": metadata}
ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/invoices",
        create,
        fields(
            required="customer",
            auto_advance=flag,
            collection_method=one_of("charge_automatically"),
            currency=currency,
            customer=text,
            default_payment_method=text,
            description=text,
            metadata=metadata,
            pending_invoice_items_behavior=one_of("include", "exclude"),
            subscription=text,
        ),
    ),
    Endpoint("GET", "/v1/invoices/{id}", retrieve),
    Endpoint(
        "POST",
        "/v1/invoices/{id}",
        update,
        fields(description=text, metadata=metadata, auto_advance=flag, default_payment_method=text),
    ),
    Endpoint("DELETE", "/v1/invoices/{id}", delete),
    Endpoint("POST", "/v1/invoices/{id}/finalize", finalize, fields(auto_advance=flag)),
    Endpoint(
        "POST", "/v1/invoices/{id}/pay", pay, fields(payment_method=text, off_session=flag, paid_out_of_band=flag)
    ),
    Endpoint("POST", "/v1/invoices/{id}/void", void),
    Endpoint("POST", "/v1/invoices/{id}/mark_uncollectible", give_up),
    Endpoint("GET", "/v1/invoices/{id}/lines", list_lines, Fields(PAGING)),
    Endpoint(
        "GET",
        "/v1/invoices",
        list_invoices,
        Fields({**BY_TIME, "customer": text, "status": STATUS, "subscription": text, "collection_method": text}),
    ),
    Endpoint(
        "GET",
        "/v1/invoice_payments",
        list_payments,
        Fields(
            {
                **PAGING,
                "invoice": text,
                "status": one_of("open", "paid", "canceled"),
                "payment": group(required="type", type=one_of("payment_intent"), payment_intent=text),
            }
        ),
    ),
    Endpoint(
        "POST",
        "/v1/invoiceitems",
        create_item,
        fields(
            ITEM,
            required="customer",
            amount=integer,
            currency=currency,
            customer=text,
            invoice=text,
            period=group(required="start end", start=timestamp, end=timestamp),
            pricing=group(price=text),
            quantity=positive,
            subscription=text,
        ),
    ),
    Endpoint("GET", "/v1/invoiceitems/{id}", retrieve_item),
    Endpoint("POST", "/v1/invoiceitems/{id}", update_item, fields(ITEM, amount=integer)),
    Endpoint("DELETE", "/v1/invoiceitems/{id}", delete_item),
    lister("/v1/invoiceitems", "invoiceitem", customer=text, invoice=text),
)
