"""A node that lies, lags or dies: nothing is credited or paid on its word alone, and nothing is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from accounts.models import Organisation
from billing import wallet
from billing.chain import deposits, follow, networks, nodes, sending, withdrawals
from billing.chain.client import MAX_BYTES
from billing.chain.facts import ChainDown
from billing.models import ChainAlarm, ChainCursor, Deposit, Withdrawal
from lib.clock import now
from tests.billing.chain.driver import Chain, Wallet
from tests.billing.money import fund
from tests.people import Person

Lie = Callable[[str, Any], Any]
MADE_UP = "0x" + "ab" * 32


@dataclass
class Proxy:
    """Passes calls on to the chain, save what `refuse(call)` answers, and gives what `lie(method, result)` makes of it."""

    upstream: str
    lie: Lie = field(default=lambda method, result: result)
    refuse: Callable[[dict[str, Any]], dict[str, Any] | None] = field(default=lambda call: None)

    def answer(self, raw: bytes) -> bytes:
        refusal = self.refuse(json.loads(raw))
        if refusal is not None:
            return json.dumps(refusal).encode()
        body = requests.post(self.upstream, data=raw, headers={"Content-Type": "application/json"}, timeout=20).json()
        if "result" in body:
            body["result"] = self.lie(json.loads(raw)["method"], body["result"])
        return json.dumps(body).encode()

    @contextmanager
    def running(self) -> Iterator[str]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                answer = proxy.answer(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Silent."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@pytest.fixture
def proxy(chain: Chain, settings: Any) -> Iterator[Proxy]:
    """The node that is read from; beside it the honest one, which has to agree."""
    proxy = Proxy(chain.url)
    with proxy.running() as address:
        settings.CHAINS = {"sandbox": [address, chain.url]}
        yield proxy


def usdc(organisation: Organisation) -> Decimal:
    return wallet.balance(organisation, "USDC").available


def scan() -> None:
    deposits.scan("sandbox")


def paid(chain: Chain, payer: Wallet, treasury: str) -> Deposit:
    scan()
    chain.pay(payer, treasury, "5")
    chain.finalize()
    scan()
    return Deposit.objects.get()


def test_it_makes_a_deposit_up(
    chain: Chain, proxy: Proxy, treasury: str, payer: Wallet, organisation: Organisation
) -> None:
    """A transfer with another amount, in a block that is there and final; the receipts are forged to fit."""

    def raise_sum(method: str, result: Any) -> Any:
        logs = result if method == "eth_getLogs" else result["logs"] if method == "eth_getTransactionReceipt" else []
        for entry in logs or []:
            entry["data"] = "0x" + f"{10**12:064x}"
        return result

    scan()
    proxy.lie = raise_sum
    chain.pay(payer, treasury, "5")
    chain.finalize()
    scan()
    assert Deposit.objects.get().amount == 10**6
    assert usdc(organisation) == 0, "the other node does not have it"
    Deposit.objects.update(seen_at=now() - timedelta(hours=2))
    scan()
    assert ChainAlarm.objects.get().kind == "disputed"


def test_it_drops_a_credited_deposit(
    chain: Chain, proxy: Proxy, treasury: str, payer: Wallet, organisation: Organisation
) -> None:
    deposit = paid(chain, payer, treasury)

    def forget(method: str, result: Any) -> Any:
        if method == "eth_getBlockByNumber" and result and result["number"] == hex(deposit.block_number):
            return {**result, "hash": MADE_UP}
        return {"eth_getLogs": [], "eth_getTransactionReceipt": None}.get(method, result)

    proxy.lie = forget
    scan()
    deposit.refresh_from_db()
    assert (deposit.status, usdc(organisation)) == ("credited", Decimal(5))


def test_it_hides_logs_for_a_while(
    chain: Chain, proxy: Proxy, treasury: str, payer: Wallet, organisation: Organisation
) -> None:
    scan()
    proxy.lie = lambda method, result: [] if method == "eth_getLogs" else result
    chain.pay(payer, treasury, "5")
    chain.finalize()
    scan()
    assert not Deposit.objects.exists()
    proxy.lie = lambda method, result: result
    scan()
    assert usdc(organisation) == 5, "the last blocks are read again"


def test_it_lags(
    chain: Chain,
    proxy: Proxy,
    treasury: str,
    payer: Wallet,
    organisation: Organisation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Only of the sandbox's own chain is it expected to lose its last seconds.
    monkeypatch.setitem(networks.NETWORKS, "sandbox", replace(networks.NETWORKS["sandbox"], faucet=False))
    nodes._connect.cache_clear()
    paid(chain, payer, treasury)
    old = ChainCursor.objects.get()

    def one_behind(method: str, result: Any) -> Any:
        if method == "eth_getBlockByNumber":
            return {**result, "number": hex(int(result["number"], 16) - 1)}
        return hex(int(result, 16) - 1) if method == "eth_blockNumber" else result

    proxy.lie = one_behind
    scan_fails()
    cursor = ChainCursor.objects.get()
    assert (cursor.block_number, usdc(organisation)) == (old.block_number, Decimal(5))
    nodes._connect.cache_clear()


def test_it_lags_behind_a_credited_deposit(
    chain: Chain, proxy: Proxy, treasury: str, payer: Wallet, organisation: Organisation, settings: Any
) -> None:
    """One of the machines behind the node's address has not seen the last blocks; there is no other node to ask."""
    settings.CHAINS = {"sandbox": settings.CHAINS["sandbox"][:1]}
    deposit = paid(chain, payer, treasury)

    def not_there_yet(method: str, result: Any) -> Any:
        if method == "eth_getBlockByNumber" and result and result["number"] == hex(deposit.block_number):
            return None
        return {"eth_getLogs": [], "eth_getTransactionReceipt": None}.get(method, result)

    proxy.lie = not_there_yet
    scan()
    proxy.lie = lambda method, result: result
    scan()
    deposit.refresh_from_db()
    assert (deposit.status, deposit.round, usdc(organisation)) == ("credited", 0, Decimal(5))
    assert not ChainAlarm.objects.exists()


@pytest.mark.parametrize("refusal", ["rpc", "bytes"])
def test_it_has_too_many_logs_for_one_answer(
    chain: Chain, proxy: Proxy, treasury: str, payer: Wallet, organisation: Organisation, refusal: str
) -> None:
    """Anybody can send thousands of empty transfers to the treasury."""
    scan()
    asked: list[int] = []

    def refuse(call: dict[str, Any]) -> dict[str, Any] | None:
        if call["method"] != "eth_getLogs":
            return None
        [wanted] = call["params"]
        asked.append(int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) + 1)
        if asked[-1] == 1:
            return None
        if refusal == "bytes":
            return {"jsonrpc": "2.0", "id": call["id"], "result": "0" * (MAX_BYTES + 1)}
        error = {"code": -32005, "message": "query returned more than 10000 results"}
        return {"jsonrpc": "2.0", "id": call["id"], "error": error}

    proxy.refuse = refuse
    chain.pay(payer, treasury, "5")
    chain.finalize()
    scan()
    assert usdc(organisation) == 5
    assert asked[0] > 1


def test_it_is_slow_with_logs(db: None, chain: Chain, proxy: Proxy) -> None:
    """Asking again for less would only keep it busier."""
    asked: list[str] = []

    def refuse(call: dict[str, Any]) -> dict[str, Any] | None:
        asked.append(call["method"])
        error = {"code": -32000, "message": "request timed out"}
        return {"jsonrpc": "2.0", "id": call["id"], "error": error} if call["method"] == "eth_getLogs" else None

    proxy.refuse = refuse
    scan_fails()
    assert asked.count("eth_getLogs") == 1


def scan_fails() -> None:
    with pytest.raises(ChainDown):
        scan()


@pytest.mark.parametrize("nonsense", [None, {}, [], "0x", "much", {"number": "0x1"}])
def test_it_talks_nonsense(chain: Chain, proxy: Proxy, payer: Wallet, nonsense: Any) -> None:
    scan()
    proxy.lie = lambda method, result: nonsense
    scan_fails()


@pytest.mark.parametrize("mode", ["http_500", "html", "rate_limit", "huge"])
def test_it_is_away(chain: Chain, treasury: str, payer: Wallet, organisation: Organisation, mode: str) -> None:
    scan()
    chain.pay(payer, treasury, "5")
    chain.finalize()
    knob = f"{chain.url}/sandbox/faults"
    assert requests.post(knob, json={"mode": mode, "path": "/"}, timeout=5).ok
    try:
        follow.follow_chains()  # the worker goes on
        assert ChainCursor.objects.get().last_error
    finally:
        assert requests.post(knob, json={"mode": "off", "path": ""}, timeout=5).ok
    follow.follow_chains()
    assert (usdc(organisation), ChainCursor.objects.get().last_error) == (Decimal(5), "")


def test_nobody_listens(chain: Chain, settings: Any, db: None) -> None:
    settings.CHAINS = {"sandbox": ["http://127.0.0.1:1"]}
    nodes._connect.cache_clear()
    scan_fails()


@pytest.fixture
def queued(chain: Chain, treasury: str, owner: Person, organisation: Organisation, settings: Any) -> Withdrawal:
    """5 USDC that are to be sent."""
    settings.WITHDRAWAL_DELAY = timedelta(0)
    fund(organisation, "50", "USDC")
    chain.fund(Wallet(account=nodes.signer()._account), "50")  # type: ignore[attr-defined]
    wanted: Any = {"organisation": organisation, "network": networks.NETWORKS["sandbox"], "actor": owner.actor}
    row = withdrawals.request_withdrawal(address=Wallet().address, amount="5", key="k", **wanted)
    withdrawals.queue_due("sandbox")
    return row


def test_it_names_a_nonce_that_no_other_knows(chain: Chain, proxy: Proxy, queued: Withdrawal) -> None:
    """With a gap before it nothing of ours would ever be mined again."""
    proxy.lie = lambda method, result: "0x63" if method == "eth_getTransactionCount" else result
    sending.send_due("sandbox")
    queued.refresh_from_db()
    assert (queued.status, queued.reason) == ("queued", "nodes_disagree")
    proxy.lie = lambda method, result: result
    sending.send_due("sandbox")
    queued.refresh_from_db()
    assert (queued.status, queued.nonce) == ("sent", 0)


def test_it_names_a_fee_that_no_other_knows(chain: Chain, proxy: Proxy, queued: Withdrawal) -> None:
    proxy.lie = lambda method, result: hex(400 * 10**9) if method == "eth_maxPriorityFeePerGas" else result
    sending.send_due("sandbox")
    attempt = queued.attempts.get()
    honest = nodes.nodes_of("sandbox")[1].fees()
    assert attempt.priority_fee_wei == honest.priority_fee_wei
