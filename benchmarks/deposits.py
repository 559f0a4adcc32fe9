"""A deposit of USDC from the block that holds it to the credit in the wallet, beside what the chain's finality takes.

On anvil, whose blocks here come every one and a half seconds and are final after two. The chain is looked at without a
pause; an installation looks every five seconds.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

from django.conf import settings

from accounts.models import Organisation
from benchmarks.report import Row, median_and_spread
from billing.chain import deposits, nodes
from billing.models import Deposit, LinkedWallet
from lib.local.ports import LOOPBACK, free_port
from lib.local.process import Program, spawn, stop_all
from tests.billing.chain.driver import Chain, Wallet
from tests.servers import wait_until

ROUNDS = 5
LIMIT_S = 60.0
PAUSE_S = 0.02
CHAIN = "sandbox"


def run() -> list[Row]:
    folder, port = Path(settings.STATE_DIR) / "bench-chain", free_port()
    folder.mkdir()
    url = f"http://{LOOPBACK}:{port}"
    argv = (sys.executable, "-m", "sandbox", "chain", "--host", LOOPBACK, "--port", str(port), "--seed", "7")
    state = ("--state", str(folder / "chain.sqlite3"), "--tick-s", "1")
    program, chain = Program("peer-chain", (*argv, *state)), Chain(url, folder)
    child = spawn(program, folder / "chain.log")
    try:
        wait_until(lambda: _answers(chain), child, folder / "chain.log")
        settings.CHAINS = {CHAIN: [url]}
        return _measure(chain)
    finally:
        stop_all([(child, program.stop_signal)], limit_s=10.0)


def _measure(chain: Chain) -> list[Row]:
    payer = Wallet()
    chain.fund(payer)
    organisation = Organisation.objects.create(name="Depositor")
    LinkedWallet.objects.create(organisation=organisation, address=payer.address)
    deposits.scan(CHAIN)
    rounds = [_deposit(chain, payer) for _ in range(ROUNDS)]
    names = ("blocks", "s")
    return [
        _row(unit, [ours[at] for ours, _ in rounds], [final[at] for _, final in rounds])
        for at, unit in enumerate(names)
    ]


def _row(unit: str, ours: list[float], finality: list[float]) -> Row:
    value, spread = median_and_spread(ours)
    reference = statistics.median(finality)
    return Row("USDC deposit mined → credited", value, unit, "finality alone", reference, value / reference, "", spread)


def _deposit(chain: Chain, payer: Wallet) -> tuple[tuple[float, float], tuple[float, float]]:
    """Blocks and seconds until it is credited, and until its block is final."""
    tx_hash = chain.pay(payer, nodes.treasury(), "5")
    began, final = time.monotonic(), None
    mined = int(chain.call("eth_getTransactionReceipt", tx_hash)["blockNumber"], 16)
    while time.monotonic() < began + LIMIT_S:
        if final is None and int(chain.call("eth_getBlockByNumber", "finalized", False)["number"], 16) >= mined:
            final = (float(chain.number - mined), time.monotonic() - began)
        deposits.scan(CHAIN)
        if Deposit.objects.filter(tx_hash=tx_hash, status="credited").exists():
            credited = (float(chain.number - mined), time.monotonic() - began)
            return credited, final or credited
        time.sleep(PAUSE_S)
    raise RuntimeError(f"nothing was credited within {LIMIT_S:.0f} s")


def _answers(chain: Chain) -> bool:
    try:
        return chain.number >= 0
    except (OSError, ValueError, AssertionError, KeyError):
        return False
