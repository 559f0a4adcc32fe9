"""`python -m sandbox <name> --port N --state FILE --facts CSV`: start one peer and serve until told to stop."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

import uvicorn

from sandbox.peer import Options, Peer
from sandbox.server import build_app
from sandbox.store import Store

NAMES = ("vast", "runpod", "lambda_labs", "akash", "paypal", "stripe", "chain")


def read_options(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="A stand-in for one outside service.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True, metavar="FILE", help="SQLite file, made when absent")
    parser.add_argument("--facts", type=Path, default=Path("marketplace/data/list_prices.csv"), metavar="CSV")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--tick-s", type=float, default=5.0, help="seconds between moves of the market; 0: only by knob"
    )
    parser.add_argument("--boot-s", type=float, default=4.0, help="seconds from creation to running")
    parser.add_argument("--strict-limits", action="store_true", help="the provider's own minimum intervals")
    parser.add_argument("--webhook-url", default="", help="PayPal, Stripe: where notifications go")
    given = parser.parse_args(arguments)
    return Options(
        **vars(given),
        key=os.environ.get("PEER_KEY", ""),
        client_id=os.environ.get("PAYPAL_CLIENT_ID", ""),
        client_secret=os.environ.get("PAYPAL_CLIENT_SECRET", ""),
        webhook_id=os.environ.get("PAYPAL_WEBHOOK_ID", ""),
        stripe_secret_key=os.environ.get("STRIPE_SECRET_KEY", ""),
        stripe_publishable_key=os.environ.get("STRIPE_PUBLISHABLE_KEY", ""),
        stripe_webhook_secret=os.environ.get("STRIPE_WEBHOOK_SECRET", ""),
    )


def make_peer(options: Options) -> Peer:
    """The peer of the package with this name. Raises OSError or ValueError for unusable facts or state."""
    module = importlib.import_module(f"sandbox.{options.name}.peer")
    peer: Peer = module.build(options, Store(options.state))
    return peer


def main() -> None:
    options = read_options(sys.argv[1:])
    try:
        peer = make_peer(options)
    except (OSError, ValueError) as error:
        sys.exit(f"sandbox {options.name}: {error}")
    uvicorn.run(
        build_app(peer),
        host=options.host,
        port=options.port,
        log_level="error",
        access_log=False,
        ws="none",
        loop="asyncio",
        http="h11",
        timeout_graceful_shutdown=1,
        server_header=False,
    )


if __name__ == "__main__":
    main()
