"""Which of the last lines says why a program ended: what real programs wrote."""

from __future__ import annotations

from textwrap import dedent

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.lastwords import telling_line

CHAINED = """\
    Traceback (most recent call last):
      File "<stdin>", line 2, in <module>
        obj, end = self.scan_once(s, idx)
                   ^^^^^^^^^^^^^^^^^^^^^^
    json.decoder.JSONDecodeError: Expecting property name: line 1 column 2 (char 1)

    The above exception was the direct cause of the following exception:

    Traceback (most recent call last):
      File "<stdin>", line 3, in <module>
    RuntimeError: the index
    is broken
"""

VALIDATION = """\
    Traceback (most recent call last):
      File "/srv/search.py", line 9, in <module>
        Settings()
    pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings
    api_key
      Field required [type=missing, input_value={}, input_type=dict]
        For further information visit https://errors.pydantic.dev/2.10/v/missing
"""

GROUP = """\
      + Exception Group Traceback (most recent call last):
      |   File "/srv/eg.py", line 7, in <module>
      |     asyncio.run(m())
      |            ^^^^^^^^^^^^^^^^
      | ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions)
      +-+---------------- 1 ----------------
        | Traceback (most recent call last):
        |   File "/srv/eg.py", line 2, in a
        |     async def a(): raise ValueError("bad port")
        |                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        | ValueError: bad port
        +---------------- 2 ----------------
        | Traceback (most recent call last):
        |   File "/srv/eg.py", line 3, in b
        |     async def b(): int("x")
        |                    ^^^^^^^^
        | ValueError: invalid literal for int() with base 10: 'x'
        +------------------------------------
"""

NESTED_GROUP = """\
      + Exception Group Traceback (most recent call last):
      |   File "<string>", line 1, in <module>
      | ExceptionGroup: outer (1 sub-exception)
      +-+---------------- 1 ----------------
        | ExceptionGroup: inner (1 sub-exception)
        +-+---------------- 1 ----------------
          | FileNotFoundError: [Errno 2] no such file
          +------------------------------------
"""

LARGE_GROUP = """\
      | ExceptionGroup: many (30 sub-exceptions)
      +-+---------------- 14 ----------------
        | ValueError: 13
        +---------------- 15 ----------------
        | ValueError: 14
        +---------------- ... ----------------
        | and 15 more exceptions
        +------------------------------------
"""

NODE_MODULE = """\
    node:internal/modules/cjs/loader:1210
      throw err;
      ^

    Error: Cannot find module 'nope'
    Require stack:
    - /srv/r.js
        at Module._resolveFilename (node:internal/modules/cjs/loader:1207:15)
        at Function.executeUserEntryPoint [as runMain] (node:internal/modules/run_main:164:12) {
      code: 'MODULE_NOT_FOUND',
      requireStack: [ '/srv/r.js' ]
    }

    Node.js v22.22.0
"""

NODE_EVENT = """\
    node:events:502
          throw er; // Unhandled 'error' event
          ^

    Error: connect ECONNREFUSED 127.0.0.1:1
        at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1611:16)
    Emitted 'error' event on Socket instance at:
        at emitErrorNT (node:internal/streams/destroy:169:8)
        at process.processTicksAndRejections (node:internal/process/task_queues:82:21) {
      errno: -111,
      code: 'ECONNREFUSED'
    }

    Node.js v22.22.0
"""

NODE_CAUGHT = """\
    search is listening on stdio
    Fatal error in main(): Error: connect ECONNREFUSED 127.0.0.1:5432
        at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1611:16) {
      errno: -111,
      syscall: 'connect'
    }
"""

NPM_UNKNOWN = """\
    npm error code E404
    npm error 404 Not Found - GET https://registry.npmjs.org/nope
    npm error 404
    npm error 404  The requested resource 'nope@*' could not be found.
    npm error 404
    npm error 404 Note that you can also install from a
    npm error 404 tarball, folder, http url, or git url.
    npm notice
    npm notice To update run: npm install -g npm@11.21.2
    npm error A complete log of this run can be found in: /root/.npm/_logs/x-debug-0.log
"""

NPM_ERRNO = """\
    npm ERR! code ENOENT
    npm ERR! syscall open
    npm ERR! path /srv/package.json
    npm ERR! errno -2
    npm ERR! enoent Could not read package.json: Error: ENOENT: no such file or directory
    npm ERR! enoent This is related to npm not being able to find a file.
    npm ERR! enoent
    npm ERR! A complete log of this run can be found in: /root/.npm/_logs/x-debug-0.log
"""

RUST = """\

    thread 'main' (3095) panicked at src/main.rs:1:81:
    index out of bounds: the len is 3 but the index is 99
    note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
"""

RUST_STACK = """\
    thread 'tokio-runtime-worker' panicked at src/main.rs:1:81:
    index out of bounds: the len is 3 but the index is 99
    stack backtrace:
       0: __rustc::rust_begin_unwind
                 at /rustc/59807616/library/std/src/panicking.rs:689:5
       1: r::main
    note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.
"""

GO = """\
    panic: runtime error: index out of range [5] with length 1

    goroutine 1 [running]:
    main.main()
    \t/srv/g.go:2 +0x1d
    exit status 2
"""

JAVA = """\
    Exception in thread "main" java.lang.RuntimeException: bad port
    \tat J.main(J.java:1)
    Caused by: java.lang.NumberFormatException: For input string: "x"
    \tat java.base/java.lang.Integer.parseInt(Integer.java:668)
    \t... 10 more
"""

UV = """\
    error: No solution found when resolving tool dependencies
      cause: Because nope was not found in the package registry, it cannot be used.
"""

WENT_ON = """\
    Traceback (most recent call last):
      File "/srv/search.py", line 9, in answer
    KeyError: 'q'
    2026-11-22 10:00:00 INFO one question answered badly
    out of disk space
"""

SHELL = """\
    starting
    sh: 1: search: not found
    ----------
    !!!
"""


class TellingLine(SynchronousTestCase):
    def assert_told(self, stderr: str, told: str) -> None:
        self.assertEqual(telling_line(dedent(stderr).splitlines()), told)

    def test_python(self) -> None:
        self.assert_told(CHAINED, "RuntimeError: the index")
        self.assert_told(
            VALIDATION,
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings",
        )
        self.assert_told("    x = = 1\n        ^\nSyntaxError: bad", "SyntaxError: bad")

    def test_exception_groups(self) -> None:
        self.assert_told(GROUP, "ValueError: invalid literal for int() with base 10: 'x'")
        self.assert_told(NESTED_GROUP, "FileNotFoundError: [Errno 2] no such file")
        self.assert_told(LARGE_GROUP, "ValueError: 14")

    def test_node(self) -> None:
        self.assert_told(NODE_MODULE, "Error: Cannot find module 'nope'")
        self.assert_told(NODE_EVENT, "Error: connect ECONNREFUSED 127.0.0.1:1")
        self.assert_told(
            NODE_CAUGHT, "Fatal error in main(): Error: connect ECONNREFUSED 127.0.0.1:5432"
        )

    def test_npm(self) -> None:
        self.assert_told(
            NPM_UNKNOWN, "npm error 404 Not Found - GET https://registry.npmjs.org/nope"
        )
        self.assert_told(
            NPM_ERRNO,
            "npm ERR! enoent Could not read package.json: Error: ENOENT: no such file or directory",
        )
        self.assert_told(
            "npm error could not determine executable to run",
            "npm error could not determine executable to run",
        )

    def test_rust(self) -> None:
        for stderr in (RUST, RUST_STACK):
            self.assert_told(stderr, "index out of bounds: the len is 3 but the index is 99")

    def test_go_and_java(self) -> None:
        self.assert_told(GO, "panic: runtime error: index out of range [5] with length 1")
        self.assert_told(JAVA, 'Caused by: java.lang.NumberFormatException: For input string: "x"')

    def test_others(self) -> None:
        self.assert_told(
            UV, "cause: Because nope was not found in the package registry, it cannot be used."
        )
        self.assert_told(SHELL, "sh: 1: search: not found")
        self.assert_told("żółć\n  \n~~~", "żółć")

    def test_a_report_after_which_it_went_on_is_not_the_reason(self) -> None:
        self.assert_told(WENT_ON, "out of disk space")

    def test_a_report_that_is_cut_off_says_what_is_left(self) -> None:
        for cut in ('Traceback (most recent call last):\n  File "x"', "npm error code 1"):
            self.assert_told(cut, cut.splitlines()[-1].strip())

    def test_nothing_was_said(self) -> None:
        for nothing in ("", "\n\n", "+------------------------------------", "Node.js v22.22.0"):
            self.assert_told(nothing, "")

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.text(max_size=20),
                st.sampled_from("".join((CHAINED, GROUP, NODE_EVENT, NPM_ERRNO, GO)).splitlines()),
            ),
            max_size=8,
        )
    )
    def test_it_is_always_one_of_the_lines(self, lines: list[str]) -> None:
        told = telling_line(lines)
        self.assertTrue(not told or any(told in line for line in lines))
