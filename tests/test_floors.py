"""The oldest versions that are declared are those that are tested."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def floors(requirements):
    """Return the version after ">=" by package."""
    found = (re.match(r"([A-Za-z0-9_-]+).*?>=([0-9.]+)", line) for line in requirements)
    return {match[1]: match[2] for match in found if match}


def numbers(version):
    return [int(part) for part in version.split(".")]


def test_each_floor_is_the_version_that_is_tested():
    lines = (ROOT / ".ci" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    core = floors(PROJECT["dependencies"])
    assert len(core) == len(PROJECT["dependencies"])
    assert core.keys() <= tested.keys()
    extras = [floors(lines) for lines in PROJECT["optional-dependencies"].values()]
    for name, floor in [pair for part in (core, *extras) for pair in part.items()]:
        if name in tested:
            longest = numbers(tested[name])
            padded = numbers(floor) + [0] * (len(longest) - len(numbers(floor)))
            assert padded == longest, f"{name}>={floor} is declared, {tested[name]} is tested"
