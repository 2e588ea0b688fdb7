"""``person.py MCPTWIST KEY URL``: what a person does whose client opens *URL* in a browser.

The page is opened, the code on it approved with ``mcptwist approve`` and the key in the file *KEY*,
while the page waits by itself; then the browser follows it back to the client. Any page that a
client shows then will do. It is run by clients, in the place of a browser.
"""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

from tests.patience import SECONDS


def main(mcptwist: str, key: str, url: str) -> None:
    # Nothing of the machine's own proxies: all of it is here.
    browser = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
    )
    with browser.open(url, timeout=SECONDS) as answer:
        page, where = answer.read().decode(), answer.url
    code = re.search(r'<p class="code">([A-Z]{4}-[A-Z]{4})</p>', page)
    onward = re.search(r'http-equiv="refresh" content="1;url=([^"]+)"', page)
    command = re.search(r"<pre>mcptwist (approve --url \S+) ([A-Z-]{9})</pre>", page)
    assert code, page
    assert onward, page
    assert command, page
    assert command[2] == code[1], page
    argv = [mcptwist, *command[1].split(), "--yes", "--identity", key, code[1]]
    with subprocess.Popen(argv) as approving:
        address = urllib.parse.urljoin(where, onward[1])
        with browser.open(address, timeout=SECONDS) as answer:
            print("back at", answer.url.partition("?")[0], answer.status, file=sys.stderr)
        assert approving.wait(SECONDS) == 0


if __name__ == "__main__":
    main(*sys.argv[1:])
