"""pyproject.toml: the lists of packages and dependencies are complete, and packages stay small."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOP_LEVEL_PACKAGES = PYPROJECT["tool"]["importlinter"]["root_packages"]


def test_every_package_is_listed() -> None:
    packages = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in TOP_LEVEL_PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert packages == set(PYPROJECT["tool"]["setuptools"]["packages"])


@pytest.mark.parametrize("package", TOP_LEVEL_PACKAGES)
def test_top_level_packages_hold_few_modules(package: str) -> None:
    assert len(list((ROOT / package).glob("*.py"))) <= (8 if package == "chains" else 12)


def test_every_dependency_is_pinned_in_constraints() -> None:
    pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    extras = PYPROJECT["project"]["optional-dependencies"]
    optional = [name for extra in ("dev", "llamacpp", "openai", "pubmed", "serve") for name in extras[extra]]
    required = {re.match(r"[\w-]+", name)[0].lower() for name in PYPROJECT["project"]["dependencies"] + optional}
    assert required - {"medground"} <= pinned  # "medground[...]" includes other extras
