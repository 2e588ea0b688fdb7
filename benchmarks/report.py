#!/usr/bin/env python3
"""The tables of run.py, as reStructuredText.

    report.py results.json [more.json]

A figure is the median over the rounds.  Rounds during which something else used more than a
third of a core are left out where there are others.  Figures carry marks, explained under the
tables: ``*`` there was no quiet round, ``+`` the load's own core was full, so that the gateway
may be faster, ``!`` there were errors.
"""

import json
import statistics
import sys
from pathlib import Path

FOREIGN = 0.34  # cores that something else may use
FULL = 0.94  # of the load's core
NONE = "-"
OPEN = {"200", "101", "no head yet"}  # what a request for a stream is answered with
ROLES = ("ours", "peer", "ceiling", "check")


def table(head, rows):
    """A simple table of reStructuredText; no cell of the first column is empty."""
    cells = [[str(cell) or NONE for cell in row] for row in (head, *rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule, ""])


class Cell:
    """The rows that stand behind one figure, and what must be said about them."""

    def __init__(self, rows):
        quiet = [row for row in rows if row.get("foreign_cpu", 0) <= FOREIGN]
        self.rows = quiet or rows
        self.noisy = bool(rows) and not quiet
        self.errors = any(row.get("errors") for row in self.rows)
        self.full = any(
            row.get("generator_cpu", 0) + row.get("child_cpu", 0) >= FULL for row in self.rows
        )

    def median(self, *path):
        """The median of a figure, by the keys that lead to it; None where there is none."""
        found = [value for row in self.rows if (value := at(row, path)) is not None]
        return statistics.median(found) if found else None

    def text(self, *path, digits=0):
        """The same as text, with its marks."""
        value = self.median(*path)
        if value is None:
            return NONE
        return f"{value:,.{digits}f}" + self.marks()

    def marks(self):
        """`*`, `+` and `!`, as they apply."""
        return "*" * self.noisy + "+" * self.full + "!" * self.errors


def at(row, path):
    """A figure within a row, or None."""
    for key in path:
        row = row.get(key) if isinstance(row, dict) else None
    return row


class Rows:
    """All rows, to choose from."""

    def __init__(self, rows):
        self.rows = rows

    def cell(self, **wanted):
        """Those with these values."""
        return Cell([r for r in self.rows if all(r.get(k) == v for k, v in wanted.items())])

    def peers(self, plan):
        """(peer, era) of all that went through a plan: ours first."""
        found = {(r["peer"], r["era"]): r["role"] for r in self.rows if r["plan"] == plan}
        return sorted(found, key=lambda who: (ROLES.index(found[who]), who[1]))

    def values(self, plan, key):
        """Every value that a key has within a plan, in order."""
        return sorted({r[key] for r in self.rows if r["plan"] == plan and key in r})

    def ours(self, era):
        """The name of the first of ours measured in an era, or None."""
        names = [r["peer"] for r in self.rows if r["role"] == "ours" and r["era"] == era]
        return names[0] if names else None

    def times(self, peer, era, *path, **wanted):
        """How many times better ours is, as text; era for era where ours was measured in it."""
        ours = self.ours(era)
        if ours in (None, peer):
            return NONE
        cells = [self.cell(peer=name, era=era, **wanted) for name in (ours, peer)]
        mine, theirs = (cell.median(*path) for cell in cells)
        if not mine or not theirs:
            return NONE
        marks = "".join(dict.fromkeys("".join(cell.marks() for cell in cells)))
        return f"{mine / theirs:.1f}{marks}"


def calls(rows):
    """Rates, latencies and costs by the number of sessions."""
    counts = rows.values("calls", "sessions")
    if not counts:
        return []
    rates, waits, costs = [], [], []
    compared = 32 if 32 in counts else counts[-1]
    for peer, era in rows.peers("calls"):
        cells = [rows.cell(plan="calls", peer=peer, era=era, sessions=n) for n in counts]
        times = rows.times(peer, era, "calls_s", plan="calls", sessions=compared)
        rates.append([peer, era, *(c.text("calls_s") for c in cells), times])
        costs.append([peer, era, *(c.text("gateway_cpu_us_per_call") for c in cells)])
        waits.append([peer, era, *(latency(c) for c in cells)])
    head = ["gateway", "era", *(f"N={n}" for n in counts)]
    return [
        ("Calls a second", table([*head, f"ours: times, N={compared}"], rates)),
        ("Latency: p50/p95/p99 in ms", table(head, waits)),
        ("Gateway CPU, in microseconds a call", table(head, costs)),
    ]


def latency(cell):
    """p50/p95/p99, in milliseconds."""
    values = [cell.median("latency_ms", p) for p in ("p50", "p95", "p99")]
    if None in values:
        return NONE
    return "/".join(f"{v:.2f}" if v < 10 else f"{v:.0f}" for v in values)


def sessions(rows):
    """How fast sessions come and go."""
    found = []
    for peer, era in rows.peers("sessions"):
        cell = rows.cell(plan="sessions", peer=peer, era=era)
        found.append(
            [
                *(peer, era, cell.text("sessions_s")),
                rows.times(peer, era, "sessions_s", plan="sessions"),
                cell.text("first_call_ms", "p50", digits=1),
                cell.text("first_call_ms", "p95", digits=1),
                cell.text("gateway_cpu_us_per_call"),
            ]
        )
    head = ["gateway", "era", "per s", "ours: times", "to first answer: p50 ms", "p95 ms", "CPU us"]
    return [("Sessions made, called once and ended", table(head, found))] if found else []


def idle(rows):
    """What an open stream costs."""
    found = []
    for peer, era in rows.peers("idle"):
        for count in rows.values("idle", "sessions"):
            cell = rows.cell(plan="idle", peer=peer, era=era, sessions=count)
            if cell.median("rss_kb_per_session") is None:
                continue
            found.append(
                [
                    *(peer, era, count, cell.text("answered")),
                    cell.text("rss_kb_per_session", digits=1) if streaming(cell) else "no stream",
                    "/".join(
                        cell.text("rss_mb", when).rstrip("*+!")
                        for when in ("before", "open", "after")
                    ),
                    cell.text("children", "open"),
                    streams(cell),
                ]
            )
    head = ["gateway", "era", "N", "answered", "KB each", "RSS before/open/after, MB", "children"]
    return (
        [("Idle sessions with an open stream", table([*head, "streams"], found))] if found else []
    )


def streaming(cell):
    """Whether every session had its stream; without, its memory says nothing."""
    return set(cell.rows[-1].get("streams", {})) <= OPEN


def streams(cell):
    """What the requests for a stream were answered with, and how often."""
    return " ".join(f"{status}:{n}" for status, n in cell.rows[-1].get("streams", {}).items())


def results(rows):
    """How large results fare."""
    sizes = rows.values("results", "size")
    if not sizes:
        return []
    found = []
    for peer, era in rows.peers("results"):
        line = [peer, era]
        for size in sizes:
            cell = rows.cell(plan="results", peer=peer, era=era, size=size)
            times = rows.times(peer, era, "mb_s", plan="results", size=size)
            line += [cell.text("mb_s", digits=1), times, *peak(cell, size)]
        found.append(line)
    head = ["gateway", "era"]
    for size in sizes:
        head += [f"{size / 1e6:g} MB: MB/s", "ours: times", "peak MB", "x size"]
    return [("Large results", table(head, found))]


def peak(cell, size):
    """The most memory, in MB, and what it grew by as a multiple of the size of a result."""
    most, before = cell.median("rss_mb", "peak"), cell.median("rss_mb", "before")
    if most is None or before is None:
        return NONE, NONE
    return f"{most:.0f}", f"{(most - before) * 2**20 / size:.1f}"


def failures(rows):
    """One line about everything that did not work."""
    lines = []
    for row in rows.rows:
        what = row.get("failed") or row.get("errors")
        if what:
            text = " ".join(str(what).split())[-300:]
            count = f", N={row['sessions']}" if "sessions" in row else ""
            lines.append(f"* {row['peer']}, {row['era']}, {row['plan']}{count}: ``{text}``")
    return [("What did not work", "\n".join(dict.fromkeys(lines)) + "\n")] if lines else []


MARKS = """\
Medians over the rounds. ``*``: something else kept the machine busy; ``+``: the core of the load
generator was full, the gateway may be faster; ``!``: there were errors; ``-``: not measured.
"""


def tables(document):
    """All of it, as reStructuredText."""
    rows = Rows(document["rows"])
    about = ", ".join(f"{key} {value}" for key, value in document["machine"].items() if value)
    settings = ", ".join(f"{key} {value}" for key, value in document["settings"].items())
    parts = [f"Measured {document['when']}; {about}; {settings}.\n", MARKS]
    if document.get("note"):
        parts.insert(0, document["note"] + "\n")
    for title, body in [
        *calls(rows),
        *sessions(rows),
        *idle(rows),
        *results(rows),
        *failures(rows),
    ]:
        parts.append(f"{title}\n{'-' * len(title)}\n\n{body}")
    return "\n".join(parts)


def line(row):
    """One row in short, for whoever watches."""
    words = [row["peer"], row["era"], row["plan"]]
    for key, unit in (
        ("sessions", " sessions"),
        ("calls_s", " calls/s"),
        ("sessions_s", " sessions/s"),
        ("mb_s", " MB/s"),
        ("rss_kb_per_session", " KB each"),
        ("gateway_cpu_us_per_call", " us"),
        ("gateway_cpu", " of its core"),
        ("generator_cpu", " of the load's"),
        ("child_cpu", " by children"),
        ("foreign_cpu", " foreign"),
    ):
        if row.get(key) is not None:
            words.append(f"{row[key]}{unit}")
    for key in ("failed", "errors"):
        if row.get(key):
            words.append(f"{key}: {' '.join(str(row[key]).split())[-300:]}")
    return "  ".join(words)


def main(names):
    """The command."""
    documents = [json.loads(Path(name).read_text()) for name in names]
    whole = documents[-1]
    whole["rows"] = [row for document in documents for row in document["rows"]]
    print(tables(whole))


if __name__ == "__main__":
    main(sys.argv[1:])
