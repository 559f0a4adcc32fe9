"""Parameters as Stripe takes them: form-encoded with brackets, read by a table of what an endpoint knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from sandbox.stripe.errors import WrongParameter

Tree = dict[str, Any]
Kind = Callable[[Any, str], Any]
KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
INTEGER = re.compile(r"-?[0-9]{1,15}")
DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]{1,12})?")
CURRENCY = "usd"
LONGEST_TEXT = 5000
LATEST = 4_102_444_800  # the year 2100
MOST_METADATA = 50


def decode(raw: str) -> Tree:
    """`items[0][price]=p&expand[]=x` → `{"items": {"0": {"price": "p"}}, "expand": {"0": "x"}}`."""
    tree: Tree = {}
    for name, value in parse_qsl(raw, keep_blank_values=True, max_num_fields=1000):
        whole = KEY.fullmatch(name)
        if whole is None:
            raise WrongParameter(f"Invalid request: the parameter name {name[:100]} cannot be read.", param=name[:100])
        path = [whole[1], *re.findall(r"\[([^\[\]]*)\]", whole[2])]
        branch = tree
        for part, following in zip(path, [*path[1:], None], strict=True):
            key = part or str(len(branch))
            if following is None:
                branch[key] = value
            else:
                branch = branch.setdefault(key, {})
                if not isinstance(branch, dict):
                    raise WrongParameter(f"Invalid {whole[1]}: given as a value and as a group.", param=whole[1])
    return tree


@dataclass(frozen=True, slots=True)
class Fields:
    """What may be given, and what must be."""

    kinds: Mapping[str, Kind]
    required: tuple[str, ...] = ()

    def read(self, tree: Any, inside: str = "") -> dict[str, Any]:
        """The given values by name. Raises WrongParameter."""
        if not isinstance(tree, dict):
            raise WrongParameter("Invalid object", code="parameter_invalid_empty", param=inside)
        for name in tree:
            if name not in self.kinds:
                full = _inside(inside, name)
                raise WrongParameter(f"Received unknown parameter: {full}", code="parameter_unknown", param=full)
        for name in self.required:
            if tree.get(name, "") == "":
                full = _inside(inside, name)
                raise WrongParameter(f"Missing required param: {full}.", code="parameter_missing", param=full)
        return {name: self.kinds[name](value, _inside(inside, name)) for name, value in tree.items()}


def _inside(group: str, name: str) -> str:
    return f"{group}[{name}]" if group else name


def fields(kinds: Mapping[str, Kind] | None = None, /, *, required: str = "", **more: Kind) -> Fields:
    """`required` names some of them, with spaces between."""
    return Fields({**(kinds or {}), **more}, tuple(required.split()))


def group(kinds: Mapping[str, Kind] | None = None, /, *, required: str = "", **more: Kind) -> Kind:
    """A group of fields; an empty value unsets it."""
    inner = fields(kinds, required=required, **more)
    return lambda value, name: {} if value == "" else inner.read(value, name)


def many(kind: Kind) -> Kind:
    def read(value: Any, name: str) -> list[Any]:
        if value == "":
            return []
        if not isinstance(value, dict) or not all(key.isdigit() for key in value):
            raise WrongParameter("Invalid array", param=name)
        return [kind(value[key], f"{name}[{key}]") for key in sorted(value, key=int)]

    return read


def text(value: Any, name: str) -> str | None:
    """An empty text unsets the field."""
    if not isinstance(value, str):
        raise WrongParameter(f"Invalid string: {str(value)[:100]}", param=name)
    if len(value) > LONGEST_TEXT:
        raise WrongParameter(
            f"Invalid string: must be at most {LONGEST_TEXT} characters", code="parameter_invalid_string", param=name
        )
    return value or None


def integer(value: Any, name: str) -> int:
    if not isinstance(value, str) or not INTEGER.fullmatch(value):
        raise WrongParameter(f"Invalid integer: {str(value)[:100]}", code="parameter_invalid_integer", param=name)
    return int(value)


def positive(value: Any, name: str) -> int:
    number = integer(value, name)
    if number < 0:
        raise WrongParameter(
            "This value must be greater than or equal to 0.", code="parameter_invalid_integer", param=name
        )
    return number


def number_text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not DECIMAL.fullmatch(value):
        raise WrongParameter(f"Invalid decimal: {str(value)[:100]}", param=name)
    return value


def timestamp(value: Any, name: str) -> int:
    """Seconds since 1970."""
    seconds = integer(value, name)
    if not 0 <= seconds <= LATEST:
        raise WrongParameter("Invalid timestamp: must be an integer Unix timestamp", param=name)
    return seconds


def moment(value: Any, name: str) -> int | str:
    """Seconds since 1970, or the word `now`."""
    return "now" if value == "now" else timestamp(value, name)


def flag(value: Any, name: str) -> bool:
    if value not in ("true", "false"):
        raise WrongParameter(f"Invalid boolean: {str(value)[:100]}", param=name)
    return bool(value == "true")


def one_of(*allowed: str) -> Kind:
    def read(value: Any, name: str) -> str | None:
        if value == "":
            return None
        if value not in allowed:
            words = ", ".join(allowed)
            raise WrongParameter(f"Invalid {name}: must be one of {words}", param=name)
        return str(value)

    return read


def currency(value: Any, name: str) -> str:
    """The sandbox's money is US dollars."""
    if not isinstance(value, str) or value.lower() != CURRENCY:
        message = f"Invalid currency: {str(value)[:100]}. The sandbox takes {CURRENCY}."
        raise WrongParameter(message, code="invalid_currency", param=name)
    return CURRENCY


def metadata(value: Any, name: str) -> dict[str, str]:
    if value == "":
        return {}
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise WrongParameter("Invalid hash: metadata is a map of texts", param=name)
    for key, each in value.items():
        if len(key) > 40 or len(each) > 500:
            raise WrongParameter("Metadata keys have at most 40 characters, values 500.", param=f"{name}[{key[:40]}]")
    if len(value) > MOST_METADATA:
        raise WrongParameter(f"Metadata has at most {MOST_METADATA} keys.", param=name)
    return dict(value)


ADDRESS = group(city=text, country=text, line1=text, line2=text, postal_code=text, state=text)
SPAN = Fields({"gt": integer, "gte": integer, "lt": integer, "lte": integer})


def created(value: Any, name: str) -> dict[str, int]:
    """A moment, or bounds of it."""
    if isinstance(value, str):
        at = integer(value, name)
        return {"gte": at, "lte": at}
    return SPAN.read(value, name)
