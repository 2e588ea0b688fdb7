# Shortcuts; dev.py does the work, and python3 dev.py needs no make.

.PHONY: run test lint docs fuzz

run test lint docs:
	python3 dev.py $@

# make fuzz SECONDS=600 TARGETS="http_head message"
SECONDS ?= 30
fuzz:
	.venv/bin/python -m pip install -q atheris
	.venv/bin/python -m tests.fuzz --seconds $(SECONDS) $(TARGETS)
