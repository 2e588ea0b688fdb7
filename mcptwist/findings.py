"""What was found when something was looked over: how it is, and what to do about it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Literal

import msgspec

Level = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    :ivar about: what it is.
    :ivar text: how it is.
    :ivar advice: what to do; empty where all is well.
    """

    level: Level
    about: str
    text: str
    advice: str = ""


def ok(about: str, text: str) -> Finding:
    """All is well."""
    return Finding("ok", about, text)


def warn(about: str, text: str, advice: str) -> Finding:
    """It works, but should be looked after."""
    return Finding("warn", about, text, advice)


def fail(about: str, text: str, advice: str) -> Finding:
    """It does not work, or is not safe."""
    return Finding("fail", about, text, advice)


def shown(finding: Finding) -> str:
    """A finding as a person reads it."""
    sign = {"ok": " ok ", "warn": "WARN", "fail": "FAIL"}[finding.level]
    lines = [f"{sign}  {finding.about}: {_printable(finding.text)}"]
    if finding.advice:
        lines.append(f"      → {_printable(finding.advice)}")
    return "\n".join(lines)


def summary(findings: Iterable[Finding]) -> str:
    """How it is altogether."""
    levels = [finding.level for finding in findings]
    failures, warnings = levels.count("fail"), levels.count("warn")
    if not failures and not warnings:
        return "All is well."
    return f"{failures} to be mended, {warnings} to be looked after."


def as_json(findings: Iterable[Finding]) -> str:
    """The findings for a program."""
    return json.dumps([msgspec.to_builtins(each) for each in findings], ensure_ascii=False)


def exit_code(findings: Iterable[Finding]) -> int:
    """1 where something is to be mended, else 0."""
    return int(any(finding.level == "fail" for finding in findings))


def _printable(text: str) -> str:
    lines = ("".join(c if c.isprintable() else "\ufffd" for c in line) for line in text.split("\n"))
    return "\n      ".join(lines)
