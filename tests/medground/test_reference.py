"""Generated pages: the command and settings references and the default settings file."""

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


def test_every_setting_stands_in_the_reference_and_in_the_default_file() -> None:
    page = GENERATOR.settings()
    defaults = yaml.safe_load(GENERATOR.default_yaml())
    for key in leaves(Settings()):
        assert f"`{key}`" in page or key.startswith(("embedders.", "retrievers.", "pairs.labels.")), key
    assert defaults == Settings().model_dump(mode="json")


def leaves(model: BaseModel) -> Iterator[str]:
    def walk(value: Any, key: str) -> Iterator[str]:
        if isinstance(value, dict) and value:
            for name, one in value.items():
                yield from walk(one, f"{key}.{name}".removeprefix("."))
        else:
            yield key

    return walk(model.model_dump(mode="json"), "")


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for one in GENERATOR._models(field.annotation):
            yield from models(one)


def test_every_setting_has_a_description() -> None:
    described = {
        f"{model.__name__}.{name}": bool(field.description)
        for model in (*models(Settings), *(config_class({"kind": kind}) for kind in KINDS))
        for name, field in model.model_fields.items()
        if not list(GENERATOR._models(field.annotation))
        and (name != "kind" or RetrieverConfig not in model.__mro__[1:])
    }
    assert [key for key, is_so in described.items() if not is_so] == []
