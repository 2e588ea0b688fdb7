# Shortcuts; dev.py does the work, and python3 dev.py needs no make.

.PHONY: run test lint docs fuzz autobahn

run test lint docs:
	python3 dev.py $@

# make fuzz SECONDS=600 TARGETS="http_head message"
SECONDS ?= 30
fuzz:
	.venv/bin/python -m pip install -q atheris
	.venv/bin/python -m tests.fuzz --seconds $(SECONDS) $(TARGETS)

# make autobahn CASES="5_ 6_4"
autobahn:
	.venv/bin/python -m tests.interop.install
	.venv/bin/python -m tests.interop.autobahn $(CASES)
