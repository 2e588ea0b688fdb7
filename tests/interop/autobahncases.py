"""The cases of Autobahn's test-suite, rewritten for the Python of today.

The suite is written for Python 2. Nothing of it is kept here: it is installed from PyPI and
rewritten with ``fissix``, which lives on from the ``lib2to3`` that Python had up to 3.12.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any


def rewrite(original: Path, rewritten: Path) -> None:
    """Rewrite the cases of the suite, which was installed into *original*; ``fissix`` too."""
    target = rewritten / "case"
    target.mkdir(parents=True)
    sys.path.insert(0, str(original))
    rewrite_text = _rewriter()
    sys.path.remove(str(original))
    for path in (original / "autobahntestsuite" / "case").glob("*.py"):
        # The bytes of Python 2's strings become the characters of the same numbers.
        text = rewrite_text(path.name, path.read_bytes().decode("latin-1"))
        (target / path.name).write_text(text, encoding="utf-8")


def _rewriter() -> Any:
    from fissix.refactor import (  # type: ignore[import-not-found]
        RefactoringTool,
        get_fixers_from_package,
    )

    left = (".fix_import", ".fix_unicode")
    fixers = [f for f in get_fixers_from_package("fissix.fixes") if not f.endswith(left)]
    tool = RefactoringTool(fixers)

    def rewrite_text(name: str, text: str) -> str:
        text = re.sub(r"^#.*coding[:=].*$", "", text, count=1, flags=re.MULTILINE)
        text = str(tool.refactor_string(text.expandtabs() + "\n", name))
        for pattern, new in _REWRITTEN:
            text = re.sub(pattern, new, text, flags=re.MULTILINE)
        return text

    return rewrite_text


_REWRITTEN = (
    (r"^from (case\w*) import", r"from case.\1 import"),
    (r"\(object, *Case[^)]*\)", "(Case, )"),
    (
        r'(?:uni)?chr\((\w)\)\.encode\("utf-8"\)',
        r'chr(\1).encode("utf-8", "surrogatepass").decode("latin-1")',
    ),
    (r"\.tostring\(\)", '.tobytes().decode("latin-1")'),
    (r"pickle\.dumps\((\w+)\)", r"\1"),
    (r"len\(self\.payload\) / ", "len(self.payload) // "),
    # Compression, and one case that is switched off.
    (r"^.*[Cc]ase(?:12|13|9_9).*$", ""),
)
