"""Settings: defaults, a YAML file and dotted overrides in one tree."""

import difflib
import reprlib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, model_validator
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
    StoreConfig,
    default_embedders,
    default_retrievers,
    find_cycle,
)
from retrievers.registry import config_class

Tree = Mapping[str, Any]
_ENTRIES = 1  # depth of named entries such as retrievers.dense, whose settings depend on their kind
_WHOLE = (  # mappings with the user's keys, which are replaced as a whole
    "retrievers.*.retrievers",
    "documents.readers",
    "pairs.labels",
    "eval.grid.llms",
    "eval.grid.encoders",
    "eval.grid.published",
    "serve.tokens",
)


class Settings(BaseModel):
    """All settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    def _names_exist(self) -> Self:
        if problems := list(_dangling_names(self.model_dump())):
            raise ValueError("; ".join(problems))
        return self


def load_settings(config_file: Path | str | None = None, *overrides: Tree | None) -> Settings:
    """Merge a YAML file, then the overrides in order, into the defaults.

    Mappings are merged key by key; an empty section changes nothing. A retriever whose ``kind`` changes is replaced as
    a whole, and so is a mapping with the user's keys, such as ``pairs.labels``, unless a dotted key names one of them.

    Args:
        config_file: a YAML file; None for the embedded default.
        overrides: sections as mappings (``{"llm": {"model": ...}}``) or dotted keys (``{"llm.model": ...}``).

    Raises:
        UserError: the file cannot be read, or the settings are not valid; the message lists every problem.
    """
    tree: Tree = Settings().model_dump()
    source = "The settings"
    if config_file is not None:
        tree = _merge(tree, read_mapping(Path(config_file).expanduser()))
        source = str(config_file)
    for override in overrides:
        stated = (override or {}).items()
        for key, value in sorted(
            stated, key=lambda one: not one[0].endswith(".kind")
        ):  # kinds first: a new kind replaces the other settings
            tree = _merge(tree, _nested(key, value), led=key.count("."))
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        problems = [_sentence(tree, detail) for detail in error.errors(include_url=False) if detail["loc"]]
        problems += _dangling_names(tree)
        count = "is one problem" if len(problems) == 1 else f"are {len(problems)} problems"
        raise UserError(f"{source}: there {count}.\n" + "\n".join(f"  {line}" for line in problems)) from None


def _merge(base: Tree, new: Tree, where: tuple[str, ...] = (), led: int = 0) -> dict[str, Any]:
    """``new`` merged into ``base`` at ``where``; the first ``led`` levels come from a dotted key."""
    merged = dict(base)
    for key, value in new.items():
        old, here = base.get(key), (*where, str(key))
        if isinstance(old, Mapping) and value is None:
            continue
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            same = len(where) != _ENTRIES or value.get("kind", old.get("kind")) == old.get("kind")
            whole = len(where) >= led and any(fnmatchcase(".".join(here), pattern) for pattern in _WHOLE)
            merged[key] = value if whole or not same else _merge(old, value, here, led)
        else:
            merged[key] = value
    return merged


def _nested(dotted: str, value: Any) -> dict[str, Any]:
    for part in reversed(dotted.split(".")):
        value = {part: value}
    return dict(value)


def _dangling_names(tree: Tree) -> Iterator[str]:
    """Problems with references between sections; malformed sections are skipped."""
    embedders, retrievers, chosen = (tree.get(key) for key in ("embedders", "retrievers", "retriever"))
    if not isinstance(retrievers, Mapping):
        return
    if isinstance(chosen, str) and chosen not in retrievers:
        yield f"retriever: there is no retriever {chosen!r}; there are {_listed(retrievers)}."
    for name in _grid_retrievers(tree):
        if name not in retrievers:
            yield f"eval.grid.retrievers: there is no retriever {name!r}; there are {_listed(retrievers)}."
    chain = tree.get("chain")
    quotes = chain.get("quote_embedder") if isinstance(chain, Mapping) else None
    if isinstance(quotes, str) and isinstance(embedders, Mapping) and quotes not in embedders:
        yield f"chain.quote_embedder: there is no embedder {quotes!r}; there are {_listed(embedders)}."
    for name, entry in retrievers.items():
        embedder = entry.get("embedder") if isinstance(entry, Mapping) else None
        if isinstance(embedder, str) and isinstance(embedders, Mapping) and embedder not in embedders:
            yield f"retrievers.{name}.embedder: there is no embedder {embedder!r}; there are {_listed(embedders)}."
    references = {name: _referred(entry) for name, entry in retrievers.items()}
    for name, others in references.items():
        for other, key in others.items():
            if other not in retrievers:
                yield f"retrievers.{name}.{key}: there is no retriever {other!r}; there are {_listed(retrievers)}."
    if cycle := find_cycle(references):
        yield f"retrievers.{cycle[0]}: these build on each other in a circle: {' -> '.join(cycle)}."


def _referred(entry: Any) -> dict[str, str]:
    """The retrievers that an entry builds on, each with its key."""
    if not isinstance(entry, Mapping):
        return {}
    one, several = entry.get("retriever"), entry.get("retrievers")
    named = {name: "retrievers" for name in several if isinstance(name, str)} if isinstance(several, Mapping) else {}
    return {**named, **({one: "retriever"} if isinstance(one, str) else {})}


def _grid_retrievers(tree: Tree) -> list[str]:
    """The retrievers of the grid; none if its section is malformed."""
    here: Any = tree
    for key in ("eval", "grid", "retrievers"):
        here = here.get(key) if isinstance(here, Mapping) else None
    return [name for name in here if isinstance(name, str)] if isinstance(here, list | tuple) else []


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(names) or "none"


def _sentence(tree: Tree, detail: ErrorDetails) -> str:
    """One pydantic error as a line: key, problem, value, and similar names for an unknown key."""
    keys = _without_tags(tree, detail["loc"])
    where = ".".join(keys)
    if detail["type"] == "extra_forbidden":
        known = _fields_at(keys[:-1], tree)
        near = difflib.get_close_matches(keys[-1], known, n=2, cutoff=0.6)
        advice = f"Did you mean {' or '.join(near)}?" if near else f"Known here: {', '.join(known)}."
        return f"{where}: there is no such setting. {advice}"
    if detail["type"] == "union_tag_invalid":
        return f"{where}.kind: {detail['ctx']['tag']!r} is not a kind; it must be {detail['ctx']['expected_tags']}."
    if detail["type"] == "union_tag_not_found":
        return f"{where}: it must be a mapping with a kind."
    if detail["type"] == "missing":
        return f"{where}: this setting is required."
    if detail["type"] == "model_type":
        return f"{where}: must be a mapping of settings, not {reprlib.repr(detail['input'])}."
    problem = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if detail["type"] == "value_error" and isinstance(detail["input"], Mapping):  # about several settings together
        return f"{where}: {problem}."
    return f"{where}: {problem}, not {reprlib.repr(detail['input'])}."


def _without_tags(tree: Tree, loc: tuple[int | str, ...]) -> list[str]:
    """The location as keys of the file, without the kind that pydantic adds for a union."""
    keys: list[str] = []
    here: Any = tree
    for part in loc:
        if isinstance(here, Mapping) and part not in here and here.get("kind") == part:
            continue
        keys.append(str(part))
        here = here.get(part) if isinstance(here, Mapping) else None
    return keys


def _fields_at(keys: list[str], tree: Tree) -> list[str]:
    """The names of the settings under a key."""
    model: type[BaseModel] = Settings
    here: Any = tree
    rest = iter(keys)
    for key in rest:
        annotation, here = model.model_fields[key].annotation, here[key]
        if get_origin(annotation) is dict:
            annotation, here = get_args(annotation)[1], here[next(rest)]
        candidates = list(_models_in(annotation))
        model = next((found for found in candidates if _kind(found) == here.get("kind")), candidates[0])
        if model is RetrieverConfig:
            model = config_class(here)
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _kind(model: type[BaseModel]) -> Any:
    return model.model_fields["kind"].default if "kind" in model.model_fields else None
