"""Stands in for pip while the commands of a spec run: `uv` installs, as of the spec's date and from its cache."""

import os
import sys

# What uv has no word for and does anyway, or cannot do.
IGNORED = {"--no-use-pep517", "--use-pep517", "--disable-pip-version-check", "--no-warn-script-location", "--user"}

arguments = [argument for argument in sys.argv[1:] if argument not in IGNORED]
if arguments[:1] == ["install"] or arguments[:1] == ["uninstall"]:
    arguments[1:1] = ["--python", sys.executable]
constraint = os.environ.get("PIP_CONSTRAINT")
if constraint:
    os.environ.setdefault("UV_CONSTRAINT", constraint)
    os.environ.setdefault("UV_BUILD_CONSTRAINT", constraint)
os.execv("/opt/uv/uv", ["uv", "pip"] + arguments)
