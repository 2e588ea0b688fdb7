"""The browser of a person who says yes: it opens the page, has the key approve it, and goes on.

``$AGREEING_CONFIG`` is where that person's key is.
"""

from __future__ import annotations

import http.cookiejar
import os
import re
import subprocess
import sys
import urllib.request

from tests.patience import SECONDS

CODE = re.compile(r"\b[A-Z0-9]{4}-[A-Z0-9]{4}\b")
CONFIG = "AGREEING_CONFIG"


def main(url: str) -> None:
    """Open *url*, and end where a program waits for what came of it."""
    cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(cookies)
    with browser.open(url, timeout=SECONDS) as page:
        where, text = page.geturl(), page.read().decode()
    shown = CODE.search(text)
    assert shown is not None, text
    argv = [sys.executable, "-m", "mcptwist", "approve", "--yes", shown[0]]
    environ = {**os.environ, "XDG_CONFIG_HOME": os.environ[CONFIG]}
    subprocess.run(argv, env=environ, check=True, timeout=SECONDS)
    browser.open(f"{where}?held", timeout=SECONDS).close()


if __name__ == "__main__":
    main(sys.argv[1])
