"""A chain of our own: JSON-RPC at `/`, answered by anvil, and `POST /faucet`.

anvil mines each transaction at once; the blocks that make it final follow one by one while `--tick-s` is not 0, and
then the chain rests, so that its state stays small. The token is the first thing that its first account creates, so
its address is known beforehand.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from subprocess import Popen
from typing import Any

import requests
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.local.anvil import find_anvil
from lib.local.ports import LOOPBACK, free_port
from lib.local.process import Program, spawn, stop_all
from sandbox.chain.token import call_data, creation_code
from sandbox.peer import Options, Peer
from sandbox.store import Store
from sandbox.wire import Json, read_object

CHAIN_ID = 31337
MINTER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"  # anvil's first account, which everybody has the key of
TOKEN = "0x5FbDB2315678afecb367f032d93F642f64180aa3"  # noqa: S105  (the address of what it creates first)
FAUCET_USDC = 1_000 * 10**6
FAUCET_WEI = 10**18
BLOCK_S = 1.5
BLOCKS_AFTER = 8  # enough for confirmations and for anvil's finality, two epochs of one block
START_LIMIT_S = 30.0
BAD = Json({"error": "The body is a JSON object."}, 400)


def build(options: Options, store: Store) -> Peer:
    return ChainPeer(options, store)


class ChainPeer(Peer):
    def __init__(self, options: Options, store: Store) -> None:
        super().__init__(options, store)
        self._folder = options.state.parent
        self._port = free_port()
        self._anvil: Popen[bytes] | None = None
        self._keeper: asyncio.Task[None] | None = None

    def routes(self) -> Sequence[Route]:
        return [
            Route("/", self.answer, methods=["POST"]),
            Route("/faucet", self.faucet, methods=["POST"]),
        ]

    def refuse(self, reason: str) -> Response:
        status = {"auth": 401, "rate_limit": 429, "not_found": 404, "method": 405}.get(reason, 500)
        return Json({"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": reason}}, status)

    async def open(self) -> None:
        await super().open()
        self._start()  # here, as a child ends with the thread that started it
        await asyncio.to_thread(self._prepare)
        if self.options.tick_s > 0:
            self._keeper = asyncio.create_task(self._make_final())

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        if self._anvil is not None:
            stop_all([(self._anvil, Program("anvil", ()).stop_signal)], limit_s=3.0)  # it writes its state first
        await super().close()

    async def answer(self, request: Request) -> Response:
        raw = await request.body()
        answer = await asyncio.to_thread(self._post, raw)
        return Response(answer.content, answer.status_code, media_type="application/json")

    async def faucet(self, request: Request) -> Response:
        """Test dollars, and what their transfer costs."""
        address = str((await read_object(request, bad=BAD)).get("address", ""))
        if not (address.startswith("0x") and len(address) == 42):
            return Json({"error": "address is 0x and 40 digits"}, 400)
        await asyncio.to_thread(self._give, address)
        return Json({"ok": True})

    def _give(self, address: str) -> None:
        wei = int(self._call("eth_getBalance", address, "latest"), 16)
        self._call("anvil_setBalance", address, hex(wei + FAUCET_WEI))
        data = call_data("mint(address,uint256)", address, FAUCET_USDC)
        self._call("eth_sendTransaction", {"from": MINTER, "to": TOKEN, "data": data})

    def _start(self) -> None:
        binary = find_anvil()
        if binary is None:
            raise FileNotFoundError("anvil is not here (package.json, ANVIL)")
        argv = [str(binary), "--host", LOOPBACK, "--port", str(self._port), "--chain-id", str(CHAIN_ID), "--quiet"]
        argv += ["--slots-in-an-epoch", "1", "--state", str(self._state), "--state-interval", "5"]
        self._anvil = spawn(Program("anvil", tuple(argv)), self._folder / "anvil.log")

    def _prepare(self) -> None:
        self._wait()
        if self._call("eth_getCode", TOKEN, "latest") == "0x":
            self._call("eth_sendTransaction", {"from": MINTER, "data": creation_code(self._folder, decimals=6)})

    @property
    def _state(self) -> Path:
        return self.options.state.with_suffix(".anvil.json")

    def _wait(self) -> None:
        # The first answer of a chain that is read from a file takes as long as the file is large.
        with requests.Session() as session:
            retry = requests.adapters.Retry(total=60, backoff_factor=0.05, backoff_max=0.5, allowed_methods=None)
            session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
            body = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
            session.post(self._url, json=body, timeout=START_LIMIT_S).raise_for_status()

    async def _make_final(self) -> None:
        """Mine on for as long as one of the last blocks holds a transaction."""
        while True:
            await asyncio.sleep(BLOCK_S)
            with contextlib.suppress(requests.RequestException, RuntimeError):
                await asyncio.to_thread(self._mine_if_needed)

    def _mine_if_needed(self) -> None:
        head = int(self._call("eth_blockNumber"), 16)
        last = range(max(0, head - BLOCKS_AFTER + 1), head + 1)
        if any(self._call("eth_getBlockTransactionCountByNumber", hex(number)) != "0x0" for number in last):
            self._call("anvil_mine", "0x1")

    @property
    def _url(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"

    def _post(self, raw: bytes) -> requests.Response:
        headers = {"Content-Type": "application/json"}
        return requests.post(self._url, data=raw, headers=headers, timeout=30)

    def _call(self, method: str, *params: Any) -> Any:
        answer = requests.post(
            self._url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, timeout=30
        ).json()
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error'].get('message')}")
        return answer["result"]
