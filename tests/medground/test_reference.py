"""Generated files: docs/commands.md, docs/settings.md and configs/default.yaml."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from medground.settings import Settings
from retrievers.config import RetrieverConfig
from retrievers.registry import KINDS, config_class

ROOT = Path(__file__).parents[2]


def load_generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator()


@pytest.mark.parametrize("path", GENERATOR.PAGES, ids=lambda path: path.name)
def test_generated_page_is_up_to_date(path: Path) -> None:
    assert path.read_text() == GENERATOR.PAGES[path](), "run `make docs`"


def test_every_setting_is_in_the_reference_and_in_the_default_file() -> None:
    page = GENERATOR.settings()
    defaults = yaml.safe_load(GENERATOR.default_yaml())
    assert defaults == Settings().model_dump(mode="json")
    for key in dotted_keys(defaults):
        assert f"`{key}`" in page or key.startswith(("embedders.", "retrievers.", "pairs.labels.")), key


def dotted_keys(value: Any, parent: str = "") -> Iterator[str]:
    """The dotted keys of all values in nested mappings."""
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from dotted_keys(child, f"{parent}.{key}".removeprefix("."))
    else:
        yield parent


def nested_models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model, and the models of its fields."""
    yield model
    for field in model.model_fields.values():
        for field_model in GENERATOR._models(field.annotation):
            yield from nested_models(field_model)


def test_every_setting_has_a_description() -> None:
    undescribed = [
        f"{model.__name__}.{name}"
        for model in (*nested_models(Settings), *(config_class({"kind": kind}) for kind in KINDS))
        for name, field in model.model_fields.items()
        if not field.description
        and not list(GENERATOR._models(field.annotation))  # a section has no description of its own
        and (name != "kind" or RetrieverConfig not in model.__mro__[1:])  # the base class describes kind
    ]
    assert undescribed == []
