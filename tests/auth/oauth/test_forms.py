"""Forms as the endpoints take them: one way to send each, and nothing that could be two."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.oauth.forms import (
    MOST_PARAMETERS,
    Refused,
    check_form,
    invalid_client,
    overloaded,
    read_form,
)

KIND = b"application/x-www-form-urlencoded"


class Asking:
    """A request that brings something."""

    def __init__(self, uri: bytes = b"/oauth/token", **headers: Any) -> None:
        self.uri = uri
        self.headers = {"content_type": KIND, **headers}

    def header_values(self, name: bytes) -> list[bytes]:
        value = self.headers.get(name.decode().replace("-", "_"), [])
        return value if isinstance(value, list) else [value]

    def header(self, name: bytes) -> bytes | None:
        return next(iter(self.header_values(name)), None)


class CheckTests(SynchronousTestCase):
    def check(self, *how: Any, **headers: Any) -> None:
        request: Any = Asking(*how, **headers)
        check_form(request)

    def assert_refused(self, reason: str, *how: Any, **headers: Any) -> None:
        refused = self.assertRaises(Refused, self.check, *how, **headers)
        self.assertEqual((refused.error, refused.status), ("invalid_request", 400))
        self.assertEqual((refused.reason, refused.failure), (reason, ""))
        self.assertTrue(refused.description)

    def test_good(self) -> None:
        for kind in (KIND, KIND + b"; charset=UTF-8", b" Application/X-WWW-Form-URLEncoded "):
            self.check(content_type=kind)

    def test_query(self) -> None:
        """What is in a URL is in logs: a secret may not be there, nor anything else."""
        self.assert_refused("a query", b"/oauth/token?client_assertion=x")
        self.assert_refused("a query", b"/oauth/token?")

    def test_header(self) -> None:
        """Two ways to say who one is would be one too many (RFC 6749, section 2.3)."""
        for value in (b"Basic dTpw", b"Bearer x", b""):
            self.assert_refused("an Authorization header", authorization=value)

    def test_kinds(self) -> None:
        for kind in ([], b"application/json", b"", KIND + b"x", [KIND, KIND]):
            self.assert_refused("no form", content_type=kind)


class ReadTests(SynchronousTestCase):
    def assert_refused(self, body: bytes, reason: str = "the form is malformed") -> None:
        refused = self.assertRaises(Refused, read_form, body)
        self.assertEqual((refused.error, refused.reason), ("invalid_request", reason))

    def test_good(self) -> None:
        """What is there and empty is there."""
        self.assertEqual(
            read_form(b"a=1&b=&c=x+y%2Bz%C3%A9"), {"a": "1", "b": "", "c": "x y+z\u00e9"}
        )
        self.assertEqual(read_form(b""), {})

    def test_twice(self) -> None:
        """RFC 6749, section 3.2; also where both say the same, and however it is spelled."""
        for body in (b"a=1&a=1", b"a=1&%61=2", b"a=&b=1&a="):
            self.assert_refused(body, "a parameter is there twice")

    def test_malformed(self) -> None:
        for body in (b"a", b"&", b"a=1&", b"a=1&&b=2", b"a=\xc3\xa9", b"a=%ff", b"a=%ED%A0%80"):
            self.assert_refused(body)

    def test_many(self) -> None:
        """As many as there may be, and no more."""
        body = b"&".join(b"a%d=" % number for number in range(MOST_PARAMETERS))
        self.assertEqual(len(read_form(body)), MOST_PARAMETERS)
        self.assert_refused(body + b"&b=")

    @given(st.binary(max_size=30))
    @settings(max_examples=60, deadline=None)
    def test_anything(self, body: bytes) -> None:
        """Text comes of it that can be written down, or a refusal of ours."""
        try:
            form = read_form(body)
        except Refused:
            return
        "".join([*form, *form.values()]).encode()


class RefusedTests(SynchronousTestCase):
    def test_who(self) -> None:
        """Whatever was wrong with who it said it is, it is told the same; and it costs."""
        refused = invalid_client("the reason")
        self.assertEqual((refused.error, refused.status), ("invalid_client", 401))
        self.assertEqual((refused.description, refused.failure), ("", "login"))
        self.assertEqual((refused.reason, str(refused)), ("the reason", "the reason"))

    def test_no_room(self) -> None:
        refused = overloaded("full")
        self.assertEqual((refused.error, refused.status), ("temporarily_unavailable", 503))
        self.assertEqual((dict(refused.headers), refused.failure), ({b"retry-after": b"5"}, ""))
