"""The options of every command that asks a server elsewhere: whom it believes to be the server."""

from __future__ import annotations

import os

import msgspec
from twisted.python import usage

from mcptwist.auth.asking.browser import has_person
from mcptwist.auth.keys import is_fingerprint
from mcptwist.command import Command, header
from mcptwist.configuration.reach import Reach


class ReachOptions(Command):
    """What these commands have in common."""

    is_free = True

    optParameters = [
        [
            "identity",
            "i",
            "",
            "The private key to come with, or SHA256:… of your ssh-agent's.",
        ],
        ["principal", "p", "", "As whom; the key's fingerprint otherwise."],
        ["known-hosts", None, None, "The file of servers' keys; your own known_hosts otherwise."],
        ["ca", None, None, "A PEM file of certificates to trust in place of the system's."],
    ]
    optFlags = [
        ["sign-requests", None, "Sign each request with the key, whether it is asked for or not."],
        ["accept-new", None, "Believe, and keep, the key of a server that is met the first time."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["host-keys"] = []

    def opt_host_key(self, fingerprint: str) -> None:
        """SHA256:… of the key that the server must show. May be given several times."""
        if not is_fingerprint(fingerprint):
            raise usage.UsageError("--host-key is a fingerprint, such as keyscan prints: SHA256:…")
        self["host-keys"].append(fingerprint)

    @property
    def reach(self) -> Reach:
        """What was said."""
        return Reach(
            key=_key(self["identity"]),
            principal=self["principal"] or "",
            sign=bool(self["sign-requests"]),
            host_keys=tuple(self["host-keys"]),
            known_hosts=_absolute(self["known-hosts"]),
            accept_new=bool(self["accept-new"]),
            ca=_absolute(self["ca"]),
        )


class SignInOptions(ReachOptions):
    """What those commands have besides at which a person may log in, where a server wants that."""

    optParameters = [
        ["client-id", None, "", "As which client you were registered there, or a document's URL."],
        ["client-secret-file", None, None, "The file of the secret that came with it."],
        ["issuer", None, "", "Who registered you; nobody else is told of it."],
        ["redirect-port", None, 0, "Port that the browser comes back to after a login.", int],
    ]

    @property
    def reach(self) -> Reach:
        """What was said."""
        return msgspec.structs.replace(
            super().reach,
            client=self["client-id"] or "",
            client_secret=_absolute(self["client-secret-file"]),
            issuer=self["issuer"] or "",
            redirect_port=self["redirect-port"],
            may_ask=has_person(os.environ),
        )


class CallingOptions(SignInOptions):
    """What those commands have besides that may come with headers of the person's own."""

    def __init__(self) -> None:
        super().__init__()
        self["headers"] = []

    def opt_header(self, text: str) -> None:
        """A header, as "Authorization: Bearer ${VAR}", VAR of the environment. Repeatable."""
        self["headers"].append(header(text))

    def postOptions(self) -> None:
        """Called when all options are there."""
        names = {name.lower() for name, _ in self["headers"]}
        if self["sign-requests"] and "authorization" in names:
            raise usage.UsageError(
                "requests are not signed beside an Authorization of your own: leave out "
                '--sign-requests, or --header "Authorization: …"'
            )


def _key(given: str) -> str:
    return given if is_fingerprint(given) else _absolute(given) or ""


def _absolute(path: str | None) -> str | None:
    return os.path.abspath(os.path.expanduser(path)) if path else None
