"""Garbage collection, for a process that serves small requests for weeks.

Python's collector looks through all objects after so many allocations. Most of a
daemon's objects are modules, classes and resources that live as long as it does,
and looking through them again and again costs more than the requests themselves.
"""

from __future__ import annotations

import gc

_THRESHOLDS = 20_000, 20, 50


def spare_what_stays() -> None:
    """Never look again at what there is now; look at what is new less often.

    To be called once, when the process is set up. Exchanges are freed by
    reference counting when they end, so little is left to be found.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
