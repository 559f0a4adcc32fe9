"""How an endpoint is written down: method, path, what it does, what it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.stripe.forms import Fields, Tree, many, text
from sandbox.stripe.world import Act

EXPAND = many(text)
NOTHING = Fields({})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`public`: browsers may call it with the publishable key (and the client secret, where an object has one)."""

    method: str
    path: str
    act: Act
    takes: Fields = NOTHING
    public: bool = False

    def read(self, tree: Tree) -> tuple[dict[str, Any], list[str]]:
        """The given values, and what to expand. Raises WrongParameter."""
        expand = EXPAND(tree["expand"], "expand") if "expand" in tree else []
        return self.takes.read({name: value for name, value in tree.items() if name != "expand"}), expand
