"""Whose key signs: in the sandbox one that is made at the first use, elsewhere one that somebody has made on purpose."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from billing.chain import nodes
from tests.billing.chain.driver import Chain
from tests.people import Person


def test_no_key_is_made_where_money_is_real(owner: Person, settings: Any, tmp_path: Path, chain: Chain) -> None:
    """A lost file must not become another treasury."""
    settings.SANDBOX, settings.CHAIN_KEY_FILE, settings.CHAIN_TREASURY = False, tmp_path / "key", ""
    assert owner.api("get", "wallets/chains").json()["error"]["code"] == "chain_key_missing"
    assert not settings.CHAIN_KEY_FILE.exists()
    call_command("make_treasury_key", stdout=(said := StringIO()))
    assert said.getvalue().startswith(nodes.signer().address)
    with pytest.raises(CommandError):
        call_command("make_treasury_key")
