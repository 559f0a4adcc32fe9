"""The part of GraphQL that price readers use: one query, fields, aliases, arguments, variables. No fragments."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

TOKEN = re.compile(r'[\s,]*(?:#[^\n]*)?[\s,]*("(?:[^"\\]|\\.)*"|\.\.\.|[{}()\[\]:=!$]|[A-Za-z_]\w*|-?\d+(?:\.\d+)?)')
CONSTANTS = {"true": True, "false": False, "null": None}
DEEPEST = 12


class BadQuery(ValueError):
    """The text is not a query that this reader understands."""


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    alias: str
    arguments: dict[str, Any] = field(default_factory=dict)
    fields: tuple[Field, ...] = ()


def parse(text: str, variables: dict[str, Any]) -> tuple[Field, ...]:
    """The fields of the query, with variables put in."""
    return _Reader(text, variables).query()


def select(value: Any, fields: tuple[Field, ...]) -> Any:
    """What was asked for of a resolved value: lists item by item, resolvers called with their arguments."""
    if isinstance(value, list):
        return [select(item, fields) for item in value]
    if not isinstance(value, dict):
        if fields and value is not None:
            raise BadQuery(f'Field must not have a selection since its type has no subfields: "{fields[0].name}"')
        return value
    if not fields:
        raise BadQuery("A field of an object type must have a selection of subfields.")
    return {wanted.alias: _resolve(value, wanted) for wanted in fields}


def _resolve(value: dict[str, Any], wanted: Field) -> Any:
    if wanted.name not in value:
        raise BadQuery(f'Cannot query field "{wanted.name}".')
    found = value[wanted.name]
    return select(found(wanted.arguments) if callable(found) else found, wanted.fields)


class _Reader:
    def __init__(self, text: str, variables: dict[str, Any]) -> None:
        self._tokens = _split(text)
        self._at = 0
        self._variables = variables

    def query(self) -> tuple[Field, ...]:
        if self._peek() == "query":
            self._next()
            if self._peek() not in ("{", "("):
                self._next()
            if self._peek() == "(":
                self._skip_definitions()
        elif self._peek() != "{":
            raise BadQuery(f'Cannot read "{self._peek()}": only queries are known here.')
        fields = self._fields(0)
        if self._peek():
            raise BadQuery(f'Unexpected "{self._peek()}" after the query.')
        return fields

    def _fields(self, depth: int) -> tuple[Field, ...]:
        if depth > DEEPEST:
            raise BadQuery("The query is too deep.")
        self._expect("{")
        fields = []
        while self._peek() != "}":
            fields.append(self._field(depth))
        self._expect("}")
        return tuple(fields)

    def _field(self, depth: int) -> Field:
        alias = name = self._name()
        if self._peek() == ":":
            self._next()
            name = self._name()
        arguments = self._arguments() if self._peek() == "(" else {}
        fields = self._fields(depth + 1) if self._peek() == "{" else ()
        return Field(name, alias, arguments, fields)

    def _arguments(self) -> dict[str, Any]:
        self._expect("(")
        return self._pairs(")", 0)

    def _pairs(self, end: str, depth: int) -> dict[str, Any]:
        pairs = {}
        while self._peek() != end:
            name = self._name()
            self._expect(":")
            pairs[name] = self._value(depth + 1)
        self._expect(end)
        return pairs

    def _value(self, depth: int) -> Any:
        if depth > DEEPEST:
            raise BadQuery("The query is too deep.")
        word = self._next()
        if word == "$":
            return self._variables.get(self._name())
        if word == "{":
            return self._pairs("}", depth)
        if word == "[":
            items = []
            while self._peek() != "]":
                items.append(self._value(depth + 1))
            self._expect("]")
            return items
        return _literal(word)

    def _skip_definitions(self) -> None:
        """`($a: Type!, $b: [Type] = 1)` says nothing that is needed here."""
        while self._next() != ")":
            pass

    def _name(self) -> str:
        token = self._next()
        if not re.fullmatch(r"[A-Za-z_]\w*", token):
            raise BadQuery(f'Expected a name, found "{token}".')
        return token

    def _expect(self, wanted: str) -> None:
        token = self._next()
        if token != wanted:
            raise BadQuery(f'Expected "{wanted}", found "{token}".')

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        if not token:
            raise BadQuery("Unexpected end of the query.")
        self._at += 1
        return token


def _split(text: str) -> list[str]:
    tokens, at = [], 0
    while text[at:].strip(" \t\r\n,"):
        found = TOKEN.match(text, at)
        if found is None:
            raise BadQuery(f"Cannot read the query at character {at}.")
        tokens.append(found[1])
        at = found.end()
    return tokens


def _literal(token: str) -> Any:
    if token in CONSTANTS:
        return CONSTANTS[token]
    if token.startswith('"'):
        try:
            return json.loads(token)
        except ValueError:
            raise BadQuery("A text has an unknown escape.") from None
    if re.fullmatch(r"-?\d+(\.\d+)?", token):
        return float(token) if "." in token else int(token)
    if re.fullmatch(r"[A-Za-z_]\w*", token):
        return token
    raise BadQuery(f'Unexpected "{token}".')
