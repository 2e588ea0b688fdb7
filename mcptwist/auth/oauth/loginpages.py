"""The pages that people see who log a client in: plain HTML, without a script.

Everything that came from outside is escaped, and nothing is loaded from anywhere. Pure.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterable
from html import escape
from urllib.parse import urlsplit

from mcptwist.auth.authorizedkeys import SCOPES
from mcptwist.auth.oauth.approvals import APPROVE, MEANING, PURPOSE, Pending, Wanted, statement

Header = tuple[bytes, bytes]

_STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { margin: 0; display: grid; min-height: 100vh; place-items: center }
main { box-sizing: border-box; max-width: 42rem; padding: 2rem 1.25rem }
h1 { font-size: 1.35rem; margin: 0 0 .75rem }
.code { font: 700 2.5rem/1.2 ui-monospace, monospace; letter-spacing: .08em; margin: 1.25rem 0 }
pre { background: #8882; border-radius: .4rem; padding: .75rem; white-space: pre-wrap;
  overflow-wrap: anywhere; font: .9rem/1.45 ui-monospace, monospace; user-select: all }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; margin: 1.25rem 0 }
dt { opacity: .7 } dd { margin: 0; overflow-wrap: anywhere }
.beware { border-left: .25rem solid #d97706; padding-left: .75rem }
.soft { opacity: .75; font-size: .9rem } summary { cursor: pointer }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'".encode(),
    ),
)
"""What every page says: nothing may be loaded, and it may be in no other page."""

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def waiting(pending: Pending, minutes: int, onward: str) -> bytes:
    """What to do to let a client in.

    :param minutes: that it may be done in.
    :param onward: where the browser asks whether it was done, by itself.
    """
    wanted, code = pending.wanted, pending.code
    issuer = wanted.issuer
    return _page(
        f"{code} · mcptwist",
        "Approve this login with your key",
        [
            f"<p><strong>{escape(wanted.client_name)}</strong>, as it calls itself, "
            f"wants to use <strong>{escape(wanted.resource.url)}</strong> in your name.</p>",
            f'<p class="code">{code}</p>',
            "<p>Run this where your key is, and see that it shows the same:</p>",
            _command(f"mcptwist approve --url {shlex.quote(issuer)} {code}"),
            "<details><summary>With OpenSSH alone</summary>",
            _command(_by_hand(pending)),
            "</details>",
            _facts(wanted),
            '<p class="beware">Approve it only if you have just begun this yourself, in a program '
            "that you know. Whoever sent you here, or sent you a code, wants to come in as you."
            "</p>",
            f'<p class="soft">This page goes on by itself; the code is good for {minutes} '
            f"{'minute' if minutes == 1 else 'minutes'} more.</p>",
        ],
        f"1;url={onward}",
    )


def device(issuer: str, code: str | None) -> bytes:
    """What to do to let a device in, which is told to who was sent here by it.

    :param code: that came along; whether anything waits under it is not told.
    """
    shown = code or "CODE"
    return _page(
        "mcptwist",
        "Approve a device with your key",
        [
            *([f'<p class="code">{code}</p>'] if code else ()),
            "<p>Run this where your key is. It shows who asks for what, and asks you:</p>",
            _command(f"mcptwist approve --url {shlex.quote(issuer)} {shown}"),
            '<p class="beware">Do it only if you have just begun this yourself, and your device or '
            f"program shows {'this code' if code else 'the code'}. Whoever sent you here, or sent "
            "you a code, wants to come in as you.</p>",
        ],
    )


def handed_over(url: str) -> bytes:
    """The client is a program that opens links of a scheme of its own: it is given this one."""
    return _page(
        "mcptwist",
        "Done",
        [
            "<p>Your browser now opens the program that you came from.</p>",
            f'<p><a href="{escape(url)}">Open it</a> if nothing happens. '
            "Then this page may be closed.</p>",
        ],
        f"0;url={escape(url)}",
    )


def refused(reason: str) -> bytes:
    """It does not go on, and nobody else is told."""
    return _page(
        "mcptwist",
        "This login does not go on",
        [
            f"<p>{escape(reason[:1].upper() + reason[1:])}.</p>",
            "<p>Go back to the program that sent you here, and begin anew.</p>",
        ],
    )


def _facts(wanted: Wanted) -> str:
    may = [f"{escape(MEANING[scope])}" for scope in SCOPES if scope in wanted.scopes]
    facts = (
        ("It may", "; ".join(may) + ", as far as your key may"),
        ("Then", f"this browser is sent to {_where(wanted)}"),
        ("Asked from", escape(wanted.source)),
    )
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{text}</dd>' for name, text in facts)}</dl>"


def _where(wanted: Wanted) -> str:
    parts = urlsplit(wanted.redirect_uri)
    host = f"<strong>{escape(wanted.host)}</strong>"
    if parts.scheme == "http" and parts.hostname in _LOOPBACK:
        return f"{host}: a program on this very machine, whichever listens there"
    if parts.scheme == "https":
        return f"{host}, a website"
    return f"the program that opens links of <strong>{escape(parts.scheme)}:</strong>"


def _by_hand(pending: Pending) -> str:
    line = statement(APPROVE, pending.code, pending.wanted, pending.wanted.scopes).rstrip("\n")
    return (
        f"echo {shlex.quote(line)} |\n"
        f"  ssh-keygen -Y sign -n {PURPOSE} -f ~/.ssh/id_ed25519 |\n"
        f"  curl --data-urlencode code={pending.code} --data-urlencode signature@- "
        f"{shlex.quote(pending.wanted.issuer + '/oauth/approve')}"
    )


def _command(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def _page(title: str, heading: str, parts: Iterable[str], refresh: str = "") -> bytes:
    again = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title>{again}<style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(heading)}</h1>{''.join(parts)}</main></body></html>\n"
    )
    return text.encode()
