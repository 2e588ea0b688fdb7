"""A gateway under test: installed, started on a core of its own, loaded, stopped.

Everything a `Peer` starts is ended with it: its process group, and every child found by the tag
on its command line, for some gateways leave theirs behind.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BENCH = ROOT / ".interop" / "bench"
STARTING = 60  # seconds a gateway may take until it listens
STOPPING = 8  # and until it has exited, before it is killed
REVISIONS = {"legacy": "2025-11-25", "modern": "2026-07-28"}


class Unusable(Exception):
    """A peer that could not be started or loaded, and why."""


def catalogue():
    """What `peers.toml` says: (installs, peers), each by name."""
    with open(HERE / "peers.toml", "rb") as file:
        read = tomllib.load(file)
    return read["installs"], read["peers"]


def install(name, spec):
    """Put one install into its folder, unless it is there already."""
    folder = BENCH / name
    done = folder / ".installed"
    wanted = json.dumps(spec)
    if done.is_file() and done.read_text() == wanted:
        return
    print(f"installing {name}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    for command in commands(folder, spec):
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    done.write_text(wanted)


def commands(folder, spec):
    """The commands that make up an install."""
    if "npm" in spec:
        quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
        yield ["npm", "install", "--prefix", str(folder), *quiet, *spec["npm"]]
    if "pip" in spec:
        if not (folder / "bin" / "pip").exists():
            venv.create(folder, with_pip=True)
        pip = str(folder / "bin" / "pip")
        yield [pip, "install", "-qq", "--disable-pip-version-check", *spec["pip"]]
    if "cc" in spec:
        source = HERE / spec["cc"]
        yield ["cc", "-O2", "-o", str(folder / source.stem), str(source)]


def load_python():
    """The interpreter for the load generator: one with uvloop where that is installed."""
    own = BENCH / "venv-load" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def command_of(name):
    """A command of the environment under test: the checkout's, else ours, else the PATH's."""
    for folder in (ROOT / ".venv" / "bin", Path(sys.executable).parent):
        if (folder / name).exists():
            return str(folder / name)
    return shutil.which(name) or name


def free_port():
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cores:
    """Which core the gateway gets, and which the load generator and the servers behind.

    :param pin: False lets the kernel decide.
    """

    def __init__(self, pin=True):
        cores = sorted(os.sched_getaffinity(0))
        self.pinned = pin and len(cores) > 1
        self.gateway, self.load = cores[0], cores[-1]


class Peer:
    """One gateway, from start to stop.  A context manager.

    :param name: its name in `peers.toml`.
    :param spec: its table there.
    :param cores: the `Cores`.
    :param wrap: what makes of its command, a list of words, the one that is run.
    """

    def __init__(self, name, spec, cores, wrap=list):
        self.name, self.spec, self.cores, self.wrap = name, spec, cores, wrap
        self.port = free_port()
        self.tag = f"tag-{name}-{os.getpid()}-{self.port}"
        self.folder = tempfile.TemporaryDirectory(prefix="mcptwist-bench-")
        self.log = open(Path(self.folder.name, "log"), "w+b")  # noqa: SIM115
        self.process = None

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception):
        self.stop()

    @property
    def revisions(self):
        """The revision to ask for, by era, of the eras it is loaded in."""
        return {era: REVISIONS[era] for era in self.spec.get("eras", REVISIONS)}

    def _child(self):
        words = [sys.executable, "-S", "-E", str(HERE / "echo_server.py")]
        if self.cores.pinned:
            words += ["--cpu", str(self.cores.load)]
        return [*words, "--tag", self.tag]

    def _filled(self, text):
        child = self._child()
        known = {
            "port": str(self.port),
            "child": shlex.join(child),
            "child_command": json.dumps(child[0]),
            "child_args": json.dumps(child[1:]),
            "bench": str(BENCH),
            "here": str(HERE),
            "mcptwist": command_of("mcptwist"),
            "twistd": command_of("twistd"),
            "config": str(self._config()),
            "folder": self.folder.name,
        }
        for word, value in known.items():
            text = text.replace("{" + word + "}", value)
        return text

    def _config(self):
        return Path(self.folder.name, "config" + self.spec.get("config_suffix", ".json"))

    def _start(self):
        if "config" in self.spec:
            self._config().write_text(self._filled(self.spec["config"]))
        command = self.wrap(shlex.split(self._filled(self.spec["command"])))
        if self.cores.pinned:
            command = ["taskset", "-c", str(self.cores.gateway), *command]
        if shutil.which("setpriv"):  # so that it does not outlive us, however we end
            command = ["setpriv", "--pdeathsig", "TERM", *command]
        try:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder.name,
                stdin=subprocess.DEVNULL,
                stdout=self.log,
                stderr=self.log,
                env=self._environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise Unusable(f"{command[0]}: {error.strerror}") from error
        self._wait_until_it_listens()

    def _environment(self):
        given = self.spec.get("environment", {})
        return os.environ | {name: self._filled(value) for name, value in given.items()}

    def _wait_until_it_listens(self):
        until = time.monotonic() + STARTING
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise Unusable(f"exited {self.process.returncode}: {self.tail()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise Unusable(f"not listening after {STARTING} s: {self.tail()}")

    def tail(self, size=900):
        """The end of what it printed."""
        self.log.seek(0, os.SEEK_END)
        self.log.seek(max(0, self.log.tell() - size))
        return self.log.read().decode("utf-8", "replace")

    def load(self, mode, *options, timeout=120):
        """Run `mcpload.py` against it: its result, or ``{"failed": why}``.

        :param options: further words of its command line.
        :param timeout: seconds after which the load is given up.
        """
        # To sign it needs what the gateway has, which the load's own environment has not.
        python = sys.executable if "--sign" in options else load_python()
        command = [python, str(HERE / "mcpload.py"), mode]
        command += ["--url", self._filled(self.spec["url"]), "--pid", str(self.process.pid)]
        command += ["--transport", self.spec.get("transport", "http")]
        command += ["--tool-prefix", self.spec.get("tool_prefix", "")]
        command += self.spec.get("load", [])
        if self.cores.pinned:
            command += ["--cpu", str(self.cores.load)]
        command += [str(word) for word in options]
        try:
            done = subprocess.run(command, capture_output=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            return {"failed": f"the load took more than {timeout} s"}
        if done.returncode:
            return {"failed": done.stderr.decode("utf-8", "replace")[-600:]}
        return json.loads(done.stdout)

    def stop(self):
        """End it, and whatever it started and left behind."""
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.send_signal(signal.SIGTERM)
                self.process.wait(STOPPING)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for pid in tagged(self.tag):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.log.close()
        self.folder.cleanup()


def tagged(tag):
    """The ids of the processes with that word on their command line."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if tag.encode() in Path("/proc", name, "cmdline").read_bytes().split(b"\0"):
                found.append(int(name))
    return found
