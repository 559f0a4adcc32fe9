"""Where anvil is, the development chain that the sandbox and the tests run: fetched by npm, for Linux on x86-64 so far.

The package `@foundry-rs/anvil` only chooses between its packages for each platform, which not every registry has; so
package.json names the one of Linux as optional. Elsewhere an `anvil` of the PATH, or the one that ANVIL names, serves.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def find_anvil() -> Path | None:
    """None where there is none: the installation then has no chain, and says so."""
    if named := os.environ.get("ANVIL"):
        return Path(named)
    fetched = sorted((CHECKOUT / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil"))
    found = str(fetched[0]) if fetched else shutil.which("anvil")
    return Path(found) if found else None
