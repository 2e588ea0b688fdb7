"""``mcptwist.errors``: sorted by blame, each with its three names."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from mcptwist import errors
from mcptwist.errors import ClientError, McpTwistError, ServerError

KINDS = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, McpTwistError)
]


class ErrorsTests(SynchronousTestCase):
    """Codes are for programs, so they must not change nor mean two things."""

    def test_codes(self) -> None:
        """Each word is given once, in small letters, and every kind says what it is."""
        words = [kind.code for kind in KINDS if "code" in vars(kind)]
        self.assertEqual(len(set(words)), len(words))
        for kind in KINDS:
            self.assertTrue(re.fullmatch("[a-z]+(-[a-z]+)*", kind.code), kind)
            self.assertTrue(kind.__doc__)

    def test_blame(self) -> None:
        """What is the client's doing has a 4xx status, what is a server's a 5xx."""
        for kind in KINDS:
            if issubclass(kind, ClientError):
                self.assertTrue(400 <= kind.status < 500, kind)
                self.assertNotEqual(kind.rpc_code, errors.INTERNAL_ERROR)
            elif issubclass(kind, ServerError):
                self.assertTrue(500 <= kind.status < 600, kind)

    def test_reserved_codes(self) -> None:
        """MCP 2026-07-28, *Error Codes*: none of ours from the range that is not ours, but for the
        one that the legacy revisions give to resources that are not there."""
        taken = {kind.rpc_code for kind in KINDS if -32019 <= kind.rpc_code <= -32000}
        self.assertLessEqual(taken, {-32002})
        self.assertNotIn(-32042, {kind.rpc_code for kind in KINDS})

    def test_body(self) -> None:
        """The JSON-RPC error object; what is not known is left out."""
        body = errors.ServerExited("it died", exitStatus=0, signal=None, stderr=["x"]).body()
        self.assertEqual(
            body,
            {
                "code": -32603,
                "message": "it died",
                "data": {"code": "server-exited", "exitStatus": 0, "stderr": ["x"]},
            },
        )
