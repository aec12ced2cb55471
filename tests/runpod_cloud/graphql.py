"""A GraphQL document as text, to fields and values: the part of the language that clients of RunPod send.

The rules of strings are the specification's (https://spec.graphql.org/October2021/#sec-String-Value), so that a quote,
a backslash or a newline that a client did not escape breaks the query, or becomes part of it, as with the true service.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
TOKEN = re.compile(
    r"(?P<space>[\s,\ufeff]+|#[^\n\r]*)|(?P<punctuator>\.\.\.|[!$&():=@\[\]{|}])|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])|(?P<block>\"\"\"(?:\\\"\"\"|[\s\S])*?\"\"\")"
    r"|(?P<string>\"(?!\"\"))",
    re.ASCII,
)


class GraphQLSyntaxError(Exception):
    """The document is none."""


class Enum(str):
    """A bare word as a value."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Variable:
    """`$name` as a value."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field, with its arguments and what is asked of it; None `fields` where it has no braces."""

    name: str
    alias: str
    arguments: dict[str, Any]
    fields: tuple[Field, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A query or a mutation. `variables`: name -> (type, default)."""

    kind: str
    name: str
    fields: tuple[Field, ...]
    variables: dict[str, tuple[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text: punctuator, name, number, string or end."""

    kind: str
    value: str


def parse(text: str) -> list[Operation]:
    """The operations of a document. Raises GraphQLSyntaxError."""
    reader = _Reader(_tokens(text))
    operations = [reader.operation()]
    while reader.peek().kind != "end":
        operations.append(reader.operation())
    return operations


def _tokens(text: str) -> list[Token]:
    tokens, at = [], 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise GraphQLSyntaxError(f"Syntax Error: Cannot parse the unexpected character {text[at]!r}.")
        kind, at = str(match.lastgroup), match.end()
        if kind == "string":
            value, at = _string(text, at)
            tokens.append(Token("string", value))
        elif kind == "block":
            tokens.append(Token("string", match.group()[3:-3].replace('\\"""', '"""').strip("\n")))
        elif kind != "space":
            tokens.append(Token(kind, match.group()))
    return [*tokens, Token("end", "<EOF>")]


def _string(text: str, at: int) -> tuple[str, int]:
    """The string that goes on at `at`, behind its quote, and where it ends."""
    letters: list[str] = []
    while at < len(text) and text[at] not in "\n\r":
        letter = text[at]
        at += 1
        if letter == '"':
            return _joined("".join(letters)), at
        if letter == "\\":
            letter, at = _escape(text, at)
        elif ord(letter) < 0x20 and letter != "\t":
            raise GraphQLSyntaxError(f'Syntax Error: Invalid character within String: "\\u{ord(letter):04x}".')
        letters.append(letter)
    raise GraphQLSyntaxError("Syntax Error: Unterminated string.")


def _escape(text: str, at: int) -> tuple[str, int]:
    letter = text[at : at + 1]
    if letter in ESCAPES and letter:
        return ESCAPES[letter], at + 1
    digits = text[at + 1 : at + 5]
    if letter == "u" and re.fullmatch(r"[0-9A-Fa-f]{4}", digits):
        return chr(int(digits, 16)), at + 5
    raise GraphQLSyntaxError(f"Syntax Error: Invalid character escape sequence: \\{letter}.")


def _joined(text: str) -> str:
    """Halves of a letter beyond U+FFFF, put together."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise GraphQLSyntaxError("Syntax Error: Invalid Unicode escape sequence.") from None


class _Reader:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.at = tokens, 0

    def peek(self) -> Token:
        return self.tokens[self.at]

    def take(self, value: str | None = None, kind: str = "punctuator") -> str:
        token = self.peek()
        if token.kind != kind or (value is not None and token.value != value):
            expected = f'"{value}"' if value else kind.capitalize()
            found = "<EOF>" if token.kind == "end" else f'{token.kind.capitalize()} "{token.value}"'
            raise GraphQLSyntaxError(f"Syntax Error: Expected {expected}, found {found}.")
        self.at += 1
        return token.value

    def has(self, value: str) -> bool:
        found = self.peek() == Token("punctuator", value)
        self.at += found
        return found

    def operation(self) -> Operation:
        if self.peek() == Token("punctuator", "{"):
            return Operation(kind="query", name="", fields=self.fields())
        kind = self.take(kind="name")
        if kind not in ("query", "mutation"):
            raise GraphQLSyntaxError(f'Syntax Error: Unexpected Name "{kind}".')
        name = self.take(kind="name") if self.peek().kind == "name" else ""
        variables = {}
        if self.has("("):
            while not self.has(")"):
                self.take("$")
                variable = self.take(kind="name")
                self.take(":")
                variables[variable] = (self.type(), self.value() if self.has("=") else None)
        return Operation(kind=kind, name=name, fields=self.fields(), variables=variables)

    def type(self) -> str:
        if self.has("["):
            inner = f"[{self.type()}"
            self.take("]")
            named = inner + "]"
        else:
            named = self.take(kind="name")
        return named + ("!" if self.has("!") else "")

    def fields(self) -> tuple[Field, ...]:
        self.take("{")
        fields = [self.field()]
        while not self.has("}"):
            fields.append(self.field())
        return tuple(fields)

    def field(self) -> Field:
        alias = name = self.take(kind="name")
        if self.has(":"):
            name = self.take(kind="name")
        arguments: dict[str, Any] = {}
        if self.has("("):
            arguments = self.pairs(")")
        has_fields = self.peek() == Token("punctuator", "{")
        return Field(name=name, alias=alias, arguments=arguments, fields=self.fields() if has_fields else None)

    def pairs(self, end: str) -> dict[str, Any]:
        pairs = {}
        while not self.has(end):
            name = self.take(kind="name")
            self.take(":")
            pairs[name] = self.value()
        return pairs

    def value(self) -> Any:
        token = self.peek()
        if token.kind == "punctuator" and token.value in "[{$":
            self.at += 1
            if token.value == "$":
                return Variable(self.take(kind="name"))
            return self._list() if token.value == "[" else self.pairs("}")
        if token.kind not in ("name", "number", "string"):
            found = "<EOF>" if token.kind == "end" else f'"{token.value}"'
            raise GraphQLSyntaxError(f"Syntax Error: Unexpected {found}.")
        self.at += 1
        return _plain(token)

    def _list(self) -> list[Any]:
        values = []
        while not self.has("]"):
            values.append(self.value())
        return values


def _plain(token: Token) -> Any:
    if token.kind == "string":
        return token.value
    if token.kind == "number":
        return int(token.value) if re.fullmatch(r"-?\d+", token.value) else float(token.value)
    return {"true": True, "false": False, "null": None}.get(token.value, Enum(token.value))
