"""Packaging of mcptwist: the library, its commands and the ``twistd mcpd`` plugin."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
# Read, not imported: what the package imports need not be there yet.
PACKAGE = (HERE / "mcptwist" / "__init__.py").read_text(encoding="utf-8")
VERSION = re.search(r'^__version__ = "(.+)"$', PACKAGE, re.MULTILINE)[1]

# The packaging tests build wheels without isolation, so that nothing is downloaded.
OTEL = ["opentelemetry-sdk>=1.30,<2", "opentelemetry-exporter-otlp-proto-http>=1.30,<2"]
TESTS = ["hypothesis>=6.100", "klein>=24.8", "setuptools>=77", *OTEL]
TYPES = ["mypy>=2.4,<3", "mypy-zope>=1.0.17", "ruff>=0.17"]
DOCS = ["sphinx>=9,<10", "towncrier>=24"]

setup(
    name="mcptwist",
    version=VERSION,
    description="A Model Context Protocol daemon on Twisted: many servers, every wire, both eras",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    license_expression="MIT",
    python_requires=">=3.11",
    # Without this line an editable install hides twisted/plugins behind an
    # import hook that Twisted's plugin search cannot see through; with it
    # setuptools writes a plain path file.
    package_dir={"": "."},
    packages=[*find_packages(include=["mcptwist", "mcptwist.*"]), "twisted.plugins"],
    package_data={"mcptwist": ["py.typed"]},
    install_requires=[
        "twisted[tls,conch]>=26.10",
        "autobahn>=26.10",
        "treq>=26.7",
        "pyopenssl>=26",
        "service-identity>=24.2",
        "txaio>=25",
        "cryptography>=46",
        "urwid>=5",
        "prometheus_client>=0.20",
        "msgspec>=0.22",
        "httptools>=0.9,<0.10",
        "h2>=4.4,<5",
        "hpack>=4.1,<5",
    ],
    extras_require={
        "test": TESTS,
        "dev": [*TESTS, *TYPES, *DOCS],
        "docs": DOCS,
        "otel": OTEL,
    },
    entry_points={"console_scripts": ["mcptwist = mcptwist.cli:main"]},
    classifiers=[
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet",
    ],
)
