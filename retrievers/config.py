"""Settings of embedders, retrievers and the store.

The settings class of a kind of retriever is in the kind's file in ``retrievers.kinds``.
"""

import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, model_validator

from common.hub import ModelSource

Count = Annotated[int, Field(ge=1, strict=True)]
Share = Annotated[float, Field(ge=0, le=1)]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]

_CLASS_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def is_class_path(name: object) -> bool:
    """Whether a setting has the form ``package.module.Class``."""
    return isinstance(name, str) and _CLASS_PATH.fullmatch(name) is not None


class Section(BaseModel):
    """Base of all sections. Sections are immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EmbedderConfig(Section):
    """One embedder."""

    model: ModelSource = Field(
        default="embedded",
        min_length=1,
        description=(
            "Model: embedded (the packaged all-MiniLM-L6-v2), chroma-default (Chroma's default function),"
            " a sentence-transformers id of the hub, a folder, or package.module.Class: a LangChain "
            "Embeddings class, made with the entry's other keys as keyword arguments."
        ),
    )
    dtype: Dtype = Field(
        default="auto",
        description=(
            "Data type of the weights. auto: bfloat16 where the processor or the card is faster in it, "
            "else float32; a store keeps its first choice."
        ),
    )
    query_prompt: str | None = Field(
        default=None, description="Text before every question; null for the prompt that the model ships, if any."
    )
    passage_prompt: str | None = Field(
        default=None, description="Text before every passage; null for the prompt that the model ships, if any."
    )

    def __new__(cls, **data: Any) -> Self:
        """Make an ``EmbedderClassConfig`` if the model is a class; ``__init__`` could not change the object's class."""
        is_class = cls is EmbedderConfig and is_class_path(data.get("model"))
        config_class: Any = EmbedderClassConfig if is_class else cls
        config: Any = super().__new__(config_class)
        return config  # type: ignore[no-any-return]

    @model_validator(mode="wrap")
    @classmethod
    def _by_model(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Any:
        if cls is EmbedderConfig and isinstance(data, Mapping) and is_class_path(data.get("model")):
            # A field of EmbedderConfig is an argument of the class only if it differs from its default.
            defaults = {key: field.default for key, field in EmbedderConfig.model_fields.items() if key != "model"}
            arguments = {key: value for key, value in data.items() if key not in defaults or value != defaults[key]}
            return EmbedderClassConfig.model_validate(arguments)
        return handler(data)


class EmbedderClassConfig(EmbedderConfig):
    """A user-defined embedder: a LangChain ``Embeddings`` class and its keyword arguments."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments."""
        return {name: getattr(self, name) for name in self.model_fields_set - {"model"}}

    def __hash__(self) -> int:
        return hash(repr(self))


class RetrieverConfig(Section):
    """Settings that every kind of retriever has.

    Validating a mapping returns an object of the settings class for its ``kind``.
    """

    kind: str = Field(
        description=(
            "One of the kinds below, or package.module.Class: a LangChain BaseRetriever class, made with "
            "the entry's other keys as keyword arguments."
        )
    )
    top_k: Count = Field(default=5, description="Maximum number of passages.")

    def builds_on(self) -> tuple[str, ...]:
        """The names of the retrievers that this one builds on, from the keys ``retriever`` and ``retrievers``."""
        retriever, retrievers = getattr(self, "retriever", None), getattr(self, "retrievers", None)
        names = [retriever] if isinstance(retriever, str) else []
        return (*names, *(map(str, retrievers) if isinstance(retrievers, Mapping) else ()))

    @model_validator(mode="wrap")
    @classmethod
    def _by_kind(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Any:
        if cls is RetrieverConfig and isinstance(data, Mapping):
            from retrievers.registry import config_class

            return config_class(data).model_validate(data)
        return handler(data)


class WrappingConfig(RetrieverConfig):
    """Settings of a kind that builds on one retriever."""

    retriever: str = Field(description="Name of the retriever that finds the candidates.")


class RetrieverClassConfig(RetrieverConfig):
    """A user-defined retriever: a LangChain ``BaseRetriever`` class and its keyword arguments.

    The values of ``retriever``, ``retrievers`` and ``embedder`` are names in the settings; the class gets the objects.
    """

    model_config = ConfigDict(extra="allow")

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments in the settings."""
        return dict(self.model_extra or {})


def find_cycle(references: Mapping[str, Any]) -> list[str] | None:
    """A cycle, such as [a, b, a], of references from names to lists of names; None if there is none."""
    try:
        TopologicalSorter(references).prepare()
    except CycleError as error:
        *cycle, _ = reversed(error.args[1])  # CycleError lists the cycle backwards and repeats the first name
        start = cycle.index(next(name for name in references if name in cycle))
        return [*cycle[start:], *cycle[: start + 1]]
    return None


class StoreConfig(Section):
    """The Chroma collections."""

    path: str = Field(
        default=".medground/store", min_length=1, description="Folder of the collections and of the indexed documents."
    )
    url: str | None = Field(
        default=None,
        description=("URL of a Chroma server, such as http://localhost:8000, in place of the folder; null for none."),
    )


def default_embedders() -> dict[str, EmbedderConfig]:
    """The default embedders by name."""
    return {"minilm": EmbedderConfig()}


def default_retrievers() -> dict[str, RetrieverConfig]:
    """The default retrievers by name."""
    from retrievers.kinds.bm25 import BM25Config
    from retrievers.kinds.dense import DenseConfig

    return {"dense": DenseConfig(), "bm25": BM25Config()}
