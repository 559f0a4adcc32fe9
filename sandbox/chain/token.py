"""The token of the sandbox's chain, compiled from TestUSDC.sol by the compiler that npm brings.

Compiled when it is first needed and kept beside the chain's state, by the hash of the source: nobody has to read
bytecode in this repository, and the source cannot differ from what runs.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

from eth_abi.abi import encode
from eth_utils.crypto import keccak

SOURCE = Path(__file__).with_name("TestUSDC.sol")
COMPILER = Path(__file__).resolve().parents[2] / "node_modules" / "solc" / "solc.js"
LIMIT_S = 60


class CompilerFailed(OSError):
    """No compiler, or a source that it refuses."""


@cache
def bytecode(folder: Path) -> str:
    """What creates the token, in hexadecimal. The number of decimals follows it as an argument."""
    source = SOURCE.read_text()
    kept = folder / f"TestUSDC.{hashlib.blake2b(source.encode(), digest_size=8).hexdigest()}.hex"
    if not kept.is_file():
        kept.write_text(_compile(source))
    return kept.read_text()


def creation_code(folder: Path, *, decimals: int) -> str:
    return "0x" + bytecode(folder) + encode(["uint8"], [decimals]).hex()


def call_data(function: str, *values: object) -> str:
    """`call_data("mint(address,uint256)", address, 5)`: what a transaction to the token carries."""
    types = [part for part in function.partition("(")[2].rstrip(")").split(",") if part]
    return "0x" + (keccak(text=function)[:4] + encode(types, values)).hex()


def _compile(source: str) -> str:
    wanted = {
        "language": "Solidity",
        "sources": {SOURCE.name: {"content": source}},
        "settings": {
            "optimizer": {"enabled": True},
            "evmVersion": "shanghai",
            "outputSelection": {"*": {"*": ["evm.bytecode.object"]}},
        },
    }
    node = Path(sys.executable).with_name("node")
    command = [str(node), str(COMPILER), "--standard-json"]
    try:
        asked = json.dumps(wanted)
        run = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        answer = json.loads(run.stdout[run.stdout.index("{") :])
        code: str = answer["contracts"][SOURCE.name]["TestUSDC"]["evm"]["bytecode"]["object"]
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
        raise CompilerFailed(f"{SOURCE.name} was not compiled: {error}") from error
    return code
