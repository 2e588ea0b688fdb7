"""Twisted finds ``twistd mcpd`` however mcptwist was installed.

Everything here is built and installed without a network: wheels are built from a copy of the
checkout with the setuptools at hand, and the fresh environments see our own environment's
packages through a path file.
"""

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

from twisted.trial.unittest import SynchronousTestCase

CHECKOUT = Path(__file__).resolve().parent.parent
OUR_PACKAGES = sysconfig.get_path("purelib")

FIND = """
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
import mcptwist

for plugin in getPlugins(IServiceMaker):
    if plugin.tapname == "mcpd":
        from twisted.plugins import mcptwist_dropin
        print(plugin.module, mcptwist_dropin.__file__, mcptwist.__file__, sep="\\n")
"""


def output_of(*command: object, cwd: Path, path: Path | None = None) -> str:
    """Run a command without our own Python settings and return what it prints."""
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "PYTHONDONTWRITEBYTECODE": "1"}
    if path is not None:
        environ["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environ, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


class PackagingTests(SynchronousTestCase):
    """The three ways to come by mcptwist, and what the wheel leaves alone."""

    def setUp(self) -> None:
        self.place = Path(self.mktemp()).resolve()
        self.place.mkdir(parents=True)
        self.checkout = self.place / "checkout"
        self.copy_checkout()

    def copy_checkout(self) -> None:
        # A copy, as building leaves build/ and egg-info behind, and an old build/ would
        # slip modules into the wheel that are no longer there.
        unwanted = shutil.ignore_patterns("__pycache__", "dropin.cache")
        for folder in ("mcptwist", "twisted"):
            shutil.copytree(CHECKOUT / folder, self.checkout / folder, ignore=unwanted)
        for name in ("setup.py", "pyproject.toml", "README.rst", "LICENSE", "MANIFEST.in"):
            shutil.copy(CHECKOUT / name, self.checkout)

    def build(self, kind: str) -> Path:
        """Build ``kind`` ("wheel" or "editable") as pip would, by the hook of PEP 517 or 660."""
        wheels = self.place / kind
        wheels.mkdir()
        call = f"from setuptools.build_meta import *; build_{kind}({str(wheels)!r})"
        output_of(sys.executable, "-c", call, cwd=self.checkout)
        (wheel,) = wheels.glob("*.whl")
        return wheel

    def make_environment(self) -> Path:
        """Make an empty virtual environment that can reach our packages; return its Python."""
        home = self.place / "fresh"
        venv.create(home, with_pip=False, symlinks=True)
        return home / "bin" / "python"

    def install(self, wheel: Path) -> Path:
        python = self.make_environment()
        options = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
        pip = (sys.executable, "-m", "pip", "--python", python, "install")
        output_of(*pip, *options, wheel, cwd=self.place)
        self.lend_our_packages(python)
        return python

    def lend_our_packages(self, python: Path) -> None:
        # Last on the path, and path files found there are not followed: Twisted is seen, an
        # mcptwist installed beside it for development is not.
        where = output_of(
            python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=self.place
        )
        (Path(where.strip()) / "lent.pth").write_text(f"{OUR_PACKAGES}\n", encoding="utf-8")

    def assert_found_under(self, home: Path, found: str) -> None:
        module, plugin, package = found.splitlines()
        self.assertEqual(module, "mcptwist.tap")
        self.assertEqual(Path(plugin), self.within(home, "twisted/plugins/mcptwist_dropin.py"))
        self.assertEqual(Path(package), self.within(home, "mcptwist/__init__.py"))

    def within(self, home: Path, name: str) -> Path:
        (match,) = (path for path in home.rglob(Path(name).name) if path.match(name))
        return match

    def test_wheel(self) -> None:
        """The plugin is found when a wheel was installed, without the checkout."""
        python = self.install(self.build("wheel"))
        shutil.rmtree(self.checkout)
        self.assert_found_under(python.parents[1], output_of(python, "-c", FIND, cwd=self.place))

    def test_checkout(self) -> None:
        """The plugin is found in a checkout with the checkout on PYTHONPATH."""
        python = self.make_environment()
        self.lend_our_packages(python)
        found = output_of(python, "-c", FIND, cwd=self.place, path=self.checkout)
        self.assert_found_under(self.checkout, found)

    def test_editable(self) -> None:
        """The plugin is found after an editable install; a finder hook would hide it."""
        python = self.install(self.build("editable"))
        found = output_of(python, "-c", FIND, cwd=self.place)
        self.assert_found_under(self.checkout, found)

    def test_wheel_leaves_twisted_alone(self) -> None:
        """The wheel adds one file to Twisted's plugins and replaces none of Twisted's own."""
        with ZipFile(self.build("wheel")) as wheel:
            names = wheel.namelist()
        theirs = [name for name in names if name.startswith("twisted/")]
        self.assertEqual(theirs, ["twisted/plugins/mcptwist_dropin.py"])

    def test_wheel_carries_the_whole_package(self) -> None:
        """Every module and the typing marker are in the wheel; no test is."""
        with ZipFile(self.build("wheel")) as wheel:
            names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        source = self.checkout / "mcptwist"
        modules = {str(path.relative_to(self.checkout)) for path in source.rglob("*.py")}
        expected = modules | {"mcptwist/py.typed", "twisted/plugins/mcptwist_dropin.py"}
        self.assertEqual(names, expected)
