"""pyproject.toml: what is installed is what is there."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_listed() -> None:
    roots = PROJECT["tool"]["importlinter"]["root_packages"]
    found = {
        ".".join(path.parent.relative_to(ROOT).parts) for root in roots for path in (ROOT / root).rglob("__init__.py")
    }
    assert found == set(PROJECT["tool"]["setuptools"]["packages"])


def test_packages_stay_small() -> None:
    roots = PROJECT["tool"]["importlinter"]["root_packages"]
    modules = {root: len(list((ROOT / root).glob("*.py"))) for root in roots}
    assert {root: count for root, count in modules.items() if count > (8 if root == "chains" else 12)} == {}


def test_every_dependency_is_constrained() -> None:
    constrained = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    extras = PROJECT["project"]["optional-dependencies"]
    installed = [name for extra in ("dev", "llamacpp", "openai", "pubmed", "serve") for name in extras[extra]]
    named = [name for name in (*PROJECT["project"]["dependencies"], *installed) if not name.startswith("medground[")]
    assert [name for name in named if re.match(r"[\w-]+", name)[0].lower() not in constrained] == []
