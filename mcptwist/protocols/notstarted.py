"""What keeps programs from being started, in words for people."""

from __future__ import annotations

import errno
import os


def why_not_started(problem: OSError | ValueError, command: str, cwd: str | None, path: str) -> str:
    """What kept a program from being started, and what to do.

    :param problem: what ``Popen`` raised.
    :param path: the ``PATH`` that was searched.
    """
    if not isinstance(problem, OSError):
        return f"its command, directory or environment cannot be passed on ({problem})"
    if cwd is not None and not os.path.isdir(cwd):
        return f"its directory {cwd!r} does not exist; correct cwd"
    located = os.path.join(cwd or "", command) if "/" in command else None
    if problem.errno == errno.ENOENT and located is None:
        return (
            f"the command {command!r} was not found in PATH={path}; "
            "install it, give its full path, or set PATH in env"
        )
    if problem.errno == errno.ENOENT and located is not None and os.path.exists(located):
        return f"{command!r} is there, but the interpreter that its first line names is not"
    if problem.errno == errno.ENOENT:
        return f"the command {command!r} does not exist; correct its path"
    if problem.errno == errno.EACCES:
        return f"the command {command!r} may not be executed; check its permissions (chmod +x)"
    if problem.errno == errno.ENOEXEC:
        return f"{command!r} is no program: it needs a first line such as #!/bin/sh"
    if problem.errno in (errno.EMFILE, errno.ENFILE):
        return "too many files are open; raise the daemon's limit (ulimit -n)"
    if problem.errno in (errno.EAGAIN, errno.ENOMEM):
        return f"the system has no room for another process ({problem.strerror})"
    return f"{command!r}: {problem.strerror}"
