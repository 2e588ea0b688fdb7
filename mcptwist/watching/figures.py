"""How durations, numbers and sizes are written for people, in a few signs. Pure."""

from __future__ import annotations


def span(seconds: float | None) -> str:
    """A duration, short: ``0.3ms``, ``12ms``, ``4.1s``, ``3m12s``, ``5h03m``, ``2d4h``."""
    if seconds is None:
        return "-"
    if 0 < seconds < 0.000_05:
        return "<0.1ms"
    if seconds < 0.01:
        return f"{seconds * 1000:.1f}ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours < 48 else f"{hours // 24}d{hours % 24}h"


def amount(count: float | None) -> str:
    """A number, short: ``12``, ``1.2k``, ``3.4M``."""
    if count is None:
        return "-"
    for unit in ("", "k", "M", "G"):
        if abs(count) < 1000:
            return f"{count:.0f}{unit}" if unit == "" or count >= 100 else f"{count:.1f}{unit}"
        count /= 1000
    return f"{count:.0f}T"


def rate(count: float) -> str:
    """So many a second."""
    return "0" if count == 0 else f"{count:.1f}" if count < 100 else amount(count)


def octets(count: float | None) -> str:
    """So many bytes, short: ``12B``, ``1.2K``, ``3.4M``."""
    if count is None:
        return "-"
    for unit in ("B", "K", "M", "G"):
        if abs(count) < 1024:
            return f"{count:.0f}{unit}" if unit == "B" or count >= 100 else f"{count:.1f}{unit}"
        count /= 1024
    return f"{count:.0f}T"
