"""Arithmetic on decimals as people write it: exact where it can be, bounded always.

The grammar, loosest first::

    sum     = product (("+" | "-") product)*
    product = signed (("*" | "/" | "//" | "%") signed)*
    signed  = ("+" | "-") signed | power
    power   = atom ("**" signed)?
    atom    = NUMBER | "(" sum ")" | NAME "(" sum ("," sum)* ")" | "pi" | "e"

Nothing is evaluated by Python. Work is bounded by the length of the text, the
depth of its nesting, the digits of every intermediate result and its exponent.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable, Mapping
from decimal import Decimal

import msgspec

DIGITS = 50
LARGEST_EXPONENT = 9999
_LENGTH = 1000
_DEPTH = 50

_WORD = re.compile(
    r"\s*(?:(?P<number>(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d{1,6})?)"
    r"|(?P<name>[A-Za-z]+)|(?P<sign>\*\*|//|[-+*/%(),]))"
)
_CONSTANTS: Mapping[str, Decimal] = {
    "pi": Decimal("3.14159265358979323846264338327950288419716939937511"),
    "e": Decimal("2.71828182845904523536028747135266249775724709369996"),
}


class Miscalculation(Exception):
    """The expression has no value here; the message says why."""


class Value(msgspec.Struct, frozen=True):
    """What an expression comes to.

    :ivar value: in decimal digits.
    :ivar exact: whether no digit was rounded away on the way.
    """

    value: str
    exact: bool


def calculate(expression: str) -> Value:
    """The value of *expression*.

    :raises Miscalculation: it is malformed, or its value too large or undefined.
    """
    if len(expression) > _LENGTH:
        raise Miscalculation(f"an expression may have {_LENGTH} characters")
    context = decimal.Context(
        prec=DIGITS,
        Emax=LARGEST_EXPONENT,
        Emin=-LARGEST_EXPONENT,
        traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
    )
    try:
        value = _Reader(expression, context).whole()
    except decimal.Overflow:
        raise Miscalculation(f"the value has more than {LARGEST_EXPONENT} digits") from None
    except decimal.DivisionByZero:
        raise Miscalculation("something is divided by zero") from None
    except decimal.InvalidOperation:
        raise Miscalculation("the value is undefined, or beyond what is calculated here") from None
    if not value.is_finite():
        raise Miscalculation("the value is infinite")
    inexact = bool(context.flags[decimal.Inexact]) or any(
        re.search(rf"\b{name}\b", expression) for name in _CONSTANTS
    )
    return Value(_written(value), not inexact)


class _Reader:
    """Reads an expression from left to right, calculating as it goes."""

    def __init__(self, text: str, context: decimal.Context) -> None:
        self._words = _split(text)
        self._at = 0
        self._depth = 0
        self._context = context

    def whole(self) -> Decimal:
        value = self._sum()
        if self._peek():
            raise Miscalculation(f"{self._peek()!r} is not expected there")
        return value

    def _sum(self) -> Decimal:
        value = self._product()
        while (sign := self._take("+", "-")) is not None:
            operation = self._context.add if sign == "+" else self._context.subtract
            value = operation(value, self._product())
        return value

    def _product(self) -> Decimal:
        context = self._context
        operations: Mapping[str, Callable[[Decimal, Decimal], Decimal]] = {
            "*": context.multiply,
            "/": context.divide,
            "//": context.divide_int,
            "%": context.remainder,
        }
        value = self._signed()
        while (sign := self._take(*operations)) is not None:
            value = operations[sign](value, self._signed())
        return value

    def _signed(self) -> Decimal:
        minus = False
        while (sign := self._take("+", "-")) is not None:
            minus ^= sign == "-"
        value = self._power()
        return self._context.minus(value) if minus else value

    def _power(self) -> Decimal:
        value = self._atom()
        if self._take("**") is None:
            return value
        self._deeper()
        value = self._context.power(value, self._signed())
        self._depth -= 1
        return value

    def _atom(self) -> Decimal:
        word = self._next()
        if word == "(":
            return self._inside()[0]
        if word[0].isdigit() or word[0] == ".":
            return self._context.create_decimal(word.replace("_", ""))
        if word in _CONSTANTS:
            return _CONSTANTS[word]
        if word[0].isalpha():
            return self._function(word)
        raise Miscalculation(f"{word!r} is not expected there")

    def _inside(self, most: int = 1) -> list[Decimal]:
        self._deeper()
        values = [self._sum()]
        while len(values) < most and self._take(",") is not None:
            values.append(self._sum())
        if self._take(")") is None:
            raise Miscalculation("a parenthesis is not closed")
        self._depth -= 1
        return values

    def _function(self, name: str) -> Decimal:
        functions: Mapping[str, Callable[[list[Decimal]], Decimal]] = {
            "abs": lambda values: self._context.abs(*values),
            "sqrt": lambda values: self._context.sqrt(*values),
            "exp": lambda values: self._context.exp(*values),
            "ln": lambda values: self._context.ln(*values),
            "log": lambda values: self._context.log10(*values),
            "round": self._round,
            "min": min,
            "max": max,
        }
        if name not in functions:
            raise Miscalculation(f"{name!r} is unknown; there are {', '.join(sorted(functions))}")
        if self._take("(") is None:
            raise Miscalculation(f"{name} needs its argument in parentheses")
        values = self._inside(most=_LENGTH)
        try:
            return functions[name](values)
        except TypeError:
            raise Miscalculation(f"{name} takes other arguments") from None

    def _round(self, values: list[Decimal]) -> Decimal:
        value, places = (*values, Decimal(0))[:2] if len(values) < 3 else (None, None)
        if value is None or places is None or places != int(places) or abs(places) > DIGITS:
            raise TypeError
        # In a context of its own: what is rounded on demand is not inexact.
        context = decimal.Context(prec=DIGITS, rounding=decimal.ROUND_HALF_UP)
        return value.quantize(Decimal(1).scaleb(-int(places)), context=context)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEPTH:
            raise Miscalculation(f"it may be nested {_DEPTH} deep")

    def _peek(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""

    def _next(self) -> str:
        word = self._peek()
        if not word:
            raise Miscalculation("the expression ends too early")
        self._at += 1
        return word

    def _take(self, *wanted: str) -> str | None:
        return self._next() if self._peek() in wanted else None


def _split(text: str) -> list[str]:
    words, at, text = [], 0, text.strip()
    while at < len(text):
        found = _WORD.match(text, at)
        if found is None:
            raise Miscalculation(f"{text[at:].lstrip()[0]!r} is not understood")
        words.append(found.group().strip())
        at = found.end()
    return words


def _written(value: Decimal) -> str:
    """Without trailing zeros, and with an exponent only where digits would be many."""
    value = value.normalize(decimal.Context(prec=DIGITS))
    exponent = value.adjusted()
    return f"{value:f}" if -DIGITS <= exponent <= DIGITS else str(value)
