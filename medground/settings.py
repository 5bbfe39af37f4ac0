"""Settings: the defaults, merged with a YAML file and with overrides."""

import difflib
import reprlib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, Field, SerializeAsAny, ValidationError, model_validator
from pydantic_core import ErrorDetails

from chains.config import AgentConfig, ChainConfig, ChatConfig, CheckConfig, LLMConfig, NLIConfig, PromptConfig
from common.errors import UserError
from corpus.config import ClaimsConfig, DataConfig, DocumentsConfig, PairsConfig
from eval.config import EvalConfig
from finetune.config import TrainConfig
from medground.service.config import ServeConfig
from medground.yaml_file import read_mapping
from retrievers.config import (
    EmbedderConfig,
    RetrieverConfig,
    Section,
    StoreConfig,
    default_embedders,
    default_retrievers,
    find_cycle,
)
from retrievers.registry import config_class

Tree = Mapping[str, Any]
_ENTRY_DEPTH = 1  # depth of named entries such as retrievers.dense, whose settings depend on their kind
_MAX_DEPTH = 6  # of nested keys; limited, since a mapping of a YAML file can contain itself
_UNMERGED = (  # mappings with user-defined keys: a new mapping replaces the old one
    "retrievers.*.retrievers",
    "documents.readers",
    "pairs.labels",
    "eval.grid.llms",
    "eval.grid.encoders",
    "eval.grid.published",
    "serve.tokens",
)


class Settings(Section):
    """All settings."""

    llm: LLMConfig = LLMConfig()
    prompt: PromptConfig = PromptConfig()
    embedders: dict[str, SerializeAsAny[EmbedderConfig]] = Field(
        default=default_embedders(), description="Embedders by name."
    )
    retrievers: dict[str, SerializeAsAny[RetrieverConfig]] = Field(
        default=default_retrievers(), description="Retrievers by name. `eval retrieval` measures all of them."
    )
    retriever: str = Field(default="dense", description="Name of the retriever that ask, chat and serve use.")
    store: StoreConfig = StoreConfig()
    chain: ChainConfig = ChainConfig()
    nli: NLIConfig = NLIConfig()
    check: CheckConfig = CheckConfig()
    chat: ChatConfig = ChatConfig()
    agent: AgentConfig = AgentConfig()
    data: DataConfig = DataConfig()
    documents: DocumentsConfig = DocumentsConfig()
    pairs: PairsConfig = PairsConfig()
    claims: ClaimsConfig = ClaimsConfig()
    eval: EvalConfig = EvalConfig()
    train: TrainConfig = TrainConfig()
    serve: ServeConfig = ServeConfig()

    @model_validator(mode="after")
    def _names_exist_and_texts_are_valid(self) -> Self:
        tree = self.model_dump()
        if problems := [*_dangling_names(tree), *_null_characters(tree)]:
            from retrievers.base import encodable

            raise ValueError(encodable("; ".join(problems)))  # pydantic cannot print lone surrogates
        return self


def load_settings(config_file: Path | str | None = None, *overrides: Tree | None) -> Settings:
    """Merge a YAML file, then the overrides in order, into the defaults.

    Mappings are merged key by key; an empty section changes nothing. A retriever whose ``kind`` changes loses its other
    settings. A mapping with user-defined keys, such as ``pairs.labels``, replaces the old one; a dotted key, such as
    ``pairs.labels.neutral``, changes one entry.

    Args:
        config_file: a YAML file; None for the embedded default.
        overrides: sections as mappings (``{"llm": {"model": ...}}``) or dotted keys (``{"llm.model": ...}``).

    Raises:
        UserError: the file cannot be read, an argument has a wrong type, or the settings are not valid. The message
            lists every problem.
    """
    tree: Tree = Settings().model_dump()
    source = "The settings"
    if config_file is not None:
        if not isinstance(config_file, str | PathLike):
            raise _wrong_type(config_file)
        tree = _merge(tree, read_mapping(Path(config_file).expanduser()))
        source = str(config_file)
    for override in overrides:
        override = {} if override is None else override
        if not isinstance(override, Mapping):
            raise _wrong_type(override)
        if wrong := [key for key in override if not isinstance(key, str)]:
            raise UserError(f"{source}: the key {wrong[0]!r} is not a text. Write the name of a section.")
        for key in sorted(override, key=lambda key: not key.endswith(".kind")):  # a new kind resets the other settings
            tree = _merge(tree, _nested(key, override[key]), dotted_depth=key.count("."))
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        problems = [_problem(tree, detail) for detail in error.errors(include_url=False) if detail["loc"]]
        problems += [*_dangling_names(tree), *_null_characters(tree)]
        count = "is one problem" if len(problems) == 1 else f"are {len(problems)} problems"
        raise UserError(f"{source}: there {count}.\n" + "\n".join(f"  {line}" for line in problems)) from None


def _wrong_type(settings: object) -> UserError:
    return UserError(f"Settings must be a file or a mapping of sections, not {type(settings).__name__}.")


def _merge(base: Tree, new: Tree, parents: tuple[str, ...] = (), dotted_depth: int = 0) -> dict[str, Any]:
    """``base``, the mapping under the keys ``parents``, with ``new`` merged into it.

    The first ``dotted_depth`` levels come from a dotted key, which changes one entry: no mapping is replaced there.
    """
    merged = dict(base)
    for key, value in new.items():
        old, path = base.get(key), (*parents, str(key))
        if isinstance(old, Mapping) and value is None:
            continue
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            kind_changes = len(parents) == _ENTRY_DEPTH and value.get("kind", old.get("kind")) != old.get("kind")
            unmerged = len(parents) >= dotted_depth and any(fnmatchcase(".".join(path), glob) for glob in _UNMERGED)
            merged[key] = value if unmerged or kind_changes else _merge(old, value, path, dotted_depth)
        else:
            merged[key] = value
    return merged


def _nested(dotted_key: str, value: Any) -> dict[str, Any]:
    for key in reversed(dotted_key.split(".")):
        value = {key: value}
    return dict(value)


def _dangling_names(tree: Tree) -> Iterator[str]:
    """Messages on names of retrievers and embedders that do not exist; malformed sections are skipped."""
    embedders, retrievers = tree.get("embedders"), tree.get("retrievers")
    if not isinstance(retrievers, Mapping):
        return
    yield from _unknown("retriever", "retriever", tree.get("retriever"), retrievers)
    grid_retrievers = _value_at(tree, "eval", "grid", "retrievers")
    for name in grid_retrievers if isinstance(grid_retrievers, list | tuple) else ():
        yield from _unknown("eval.grid.retrievers", "retriever", name, retrievers)
    yield from _unknown("chain.quote_embedder", "embedder", _value_at(tree, "chain", "quote_embedder"), embedders)
    for name, entry in retrievers.items():
        yield from _unknown(f"retrievers.{name}.embedder", "embedder", _value_at(entry, "embedder"), embedders)
    references = {name: _base_retrievers(entry) for name, entry in retrievers.items()}
    for name, bases in references.items():
        for base, key in bases.items():
            yield from _unknown(f"retrievers.{name}.{key}", "retriever", base, retrievers)
    if cycle := find_cycle(references):
        yield f"retrievers.{cycle[0]}: these build on each other in a circle: {' -> '.join(cycle)}."


def _null_characters(value: Any, keys: tuple[str, ...] = ()) -> Iterator[str]:
    """Messages on texts with a null character, which no path, host or model may have."""
    if isinstance(value, str) and "\0" in value:
        yield f"{'.'.join(keys)}: must not have a null character, not {reprlib.repr(value)}."
    elif isinstance(value, Mapping) and len(keys) < _MAX_DEPTH:
        for key, inner in value.items():
            yield from _null_characters(inner, (*keys, str(key)))


def _unknown(key: str, kind: Literal["retriever", "embedder"], name: Any, section: Any) -> Iterator[str]:
    """A message if the setting ``key`` names a retriever or embedder that ``section`` does not define."""
    if isinstance(name, str) and isinstance(section, Mapping) and name not in section:
        yield f"{key}: there is no {kind} {name!r}; there are {', '.join(section) or 'none'}."


def _value_at(value: Any, *keys: str) -> Any:
    """The value under nested keys; None if a level is missing or no mapping."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _base_retrievers(entry: Any) -> dict[str, str]:
    """The retrievers that an entry of section ``retrievers`` builds on, each with the key that names it."""
    single, weights = _value_at(entry, "retriever"), _value_at(entry, "retrievers")
    bases = {name: "retrievers" for name in weights if isinstance(name, str)} if isinstance(weights, Mapping) else {}
    return {**bases, **({single: "retriever"} if isinstance(single, str) else {})}


def _problem(tree: Tree, detail: ErrorDetails) -> str:
    """One pydantic error as a line: key, problem, value, and similar names for an unknown key."""
    keys = _without_tags(tree, detail["loc"])
    key = ".".join(keys)
    if detail["type"] == "extra_forbidden":
        known = _fields_at(keys[:-1], tree)
        similar = difflib.get_close_matches(keys[-1], known, n=2, cutoff=0.6)
        advice = f"Did you mean {' or '.join(similar)}?" if similar else f"Known here: {', '.join(known)}."
        return f"{key}: there is no such setting. {advice}"
    if detail["type"] == "union_tag_invalid":
        return f"{key}.kind: {detail['ctx']['tag']!r} is not a kind; it must be {detail['ctx']['expected_tags']}."
    if detail["type"] == "union_tag_not_found":
        return f"{key}: it must be a mapping with a kind."
    if detail["type"] == "missing":
        return f"{key}: this setting is required."
    if detail["type"] == "model_type":
        return f"{key}: must be a mapping of settings, not {reprlib.repr(detail['input'])}."
    problem = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if detail["type"] == "value_error" and isinstance(detail["input"], Mapping):  # a validator of several settings
        return f"{key}: {problem}."
    return f"{key}: {problem}, not {reprlib.repr(detail['input'])}."


def _without_tags(tree: Tree, loc: tuple[int | str, ...]) -> list[str]:
    """pydantic's location of an error as keys of the file, without the ``kind`` that pydantic adds for a union."""
    keys: list[str] = []
    value: Any = tree
    for part in loc:
        if isinstance(value, Mapping) and part not in value and value.get("kind") == part:
            continue
        keys.append(str(part))
        value = value.get(part) if isinstance(value, Mapping) else None
    return keys


def _fields_at(keys: list[str], tree: Tree) -> list[str]:
    """The names of the settings under nested keys."""
    model: type[BaseModel] = Settings
    value: Any = tree
    remaining = iter(keys)
    for key in remaining:
        annotation, value = model.model_fields[key].annotation, value[key]
        if get_origin(annotation) is dict:
            annotation, value = get_args(annotation)[1], value[next(remaining)]
        candidates = list(_models_in(annotation))
        model = next((one for one in candidates if _default_kind(one) == value.get("kind")), candidates[0])
        if model is RetrieverConfig:
            model = config_class(value)
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _default_kind(model: type[BaseModel]) -> Any:
    return model.model_fields["kind"].default if "kind" in model.model_fields else None
