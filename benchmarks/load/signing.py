"""Requests signed one by one (RFC 9421), as a gateway may want them.

Only here does the load generator use anything of the gateway's: what is signed is not measured.
"""

import secrets
import time
from pathlib import Path
from urllib.parse import urlsplit

from mcptwist.auth.httpsignatures import DIGEST, Head, content_digest, to_sign
from mcptwist.auth.keys import PrivateKey

LIFETIME = 60


def signing(path, url):
    """What makes of a request's bytes those of a signed one.

    :param path: the file of the private key.
    :param url: any of the gateway's.
    """
    key = PrivateKey.from_text(Path(path).read_bytes())
    keyid, (algorithm, *_) = key.public.thumbprint, key.public.algorithms
    parts = urlsplit(url)
    base = f"{parts.scheme}://{parts.netloc}"

    def sign(request):
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        method, target, _ = first.decode().split(" ")
        digest = (DIGEST, content_digest(body))
        pairs = [(name.lower(), value.strip()) for name, _, value in
                 (line.partition(b":") for line in lines)]  # fmt: skip
        pairs.append(digest)

        def values(name):
            return [value for field, value in pairs if field == name]

        now = int(time.time())
        nonce = secrets.token_urlsafe(16)
        ready = to_sign(
            Head(method, base + target, values), keyid, keyid, nonce, now, now + LIFETIME
        )
        more = [digest, *ready.headers(key.sign(algorithm, ready.base))]
        added = b"".join(b"\r\n%s: %s" % pair for pair in more)
        return head + added + b"\r\n\r\n" + body

    return sign
