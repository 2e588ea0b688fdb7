"""Arithmetic on decimals."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.serving.calculator import DIGITS, Miscalculation, Value, calculate


class CalculatorTests(SynchronousTestCase):
    def test_values(self) -> None:
        """Precedence and association are those people know."""
        for expression, value in (
            ("0.1 + 0.2", "0.3"),
            ("2 + 3 * 4", "14"),
            ("(2 + 3) * 4", "20"),
            ("10 - 3 - 2", "5"),
            ("2 ** 3 ** 2", "512"),
            ("-2 ** 2", "-4"),
            ("2 ** -3", "0.125"),
            ("7 // 2", "3"),
            ("7 % 4", "3"),
            ("--1", "1"),
            ("1_000 * .5", "500"),
            ("1e3", "1000"),
            ("round(2.345, 2)", "2.35"),
            ("round(2.5)", "3"),
            ("max(1, 2, 3) - min(4, 5)", "-1"),
            ("abs(-3)", "3"),
            ("sqrt(16) + log(1000) + ln(1) + exp(0)", "8"),
        ):
            self.assertEqual(Value(value, True), calculate(expression), expression)

    def test_rounded(self) -> None:
        """What had to be rounded says so."""
        for expression in ("1 / 3", "sqrt(2)", "pi", "2 * e", "9 ** 99"):
            self.assertFalse(calculate(expression).exact, expression)

    def test_large(self) -> None:
        """Very large and very small values have an exponent."""
        self.assertEqual("1E+400", calculate("10 ** 400").value)
        self.assertEqual("1E-400", calculate("10 ** -400").value)

    def test_malformed(self) -> None:
        """What is no expression is refused, with the place."""
        for expression, words in (
            ("", "too early"),
            ("1 +", "too early"),
            ("1 2", "'2' is not expected"),
            ("(1", "not closed"),
            ("1 $ 2", "'$' is not understood"),
            ("__import__('os')", "not understood"),
            ("foo(1)", "'foo' is unknown"),
            ("sqrt", "in parentheses"),
            ("abs(1, 2)", "other arguments"),
            ("round(1, 0.5)", "other arguments"),
        ):
            problem = self.assertRaises(Miscalculation, calculate, expression)
            self.assertIn(words, str(problem), expression)

    def test_undefined(self) -> None:
        """What has no value is refused."""
        for expression in ("1 / 0", "1 // 0", "0 / 0", "1 % 0", "sqrt(-1)", "ln(0)", "ln(-1)"):
            self.assertRaises(Miscalculation, calculate, expression)

    def test_bounds(self) -> None:
        """Nothing takes long: length, depth, digits and exponent are bounded."""
        for expression in (
            "1" * 1001,
            "(" * 51 + "1" + ")" * 51,
            "**".join("1" * 60),
            "9 ** 9 ** 9",
            "1e10000",
            "10 ** 9999 * 10",
            "exp(1e6)",
        ):
            self.assertRaises(Miscalculation, calculate, expression)
        self.assertLessEqual(len(calculate("2 ** 9999").value), DIGITS + 8)

    @settings(deadline=None, max_examples=50)
    @given(st.text(alphabet="0123456789.e+-*/%(), absqrtoundi", max_size=40))
    def test_hostile(self, expression: str) -> None:
        """Whatever comes, there is a finite value or a reason."""
        try:
            value = calculate(expression)
        except Miscalculation:
            return
        self.assertTrue(Decimal(value.value).is_finite())
