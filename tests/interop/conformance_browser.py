"""The browser of the person who is asked: it goes where it is sent, and says yes to everything."""

import sys
import urllib.request

urllib.request.urlopen(sys.argv[1], timeout=20).read()
