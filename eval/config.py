"""The settings section ``eval``."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from chains.config import Context, LLMConfig
from common.hub import ModelSource
from retrievers.config import Section

GridPart = Literal["retrieval", "qa", "nli"]


class GridLLM(LLMConfig):
    """A language model of the grid.

    The fields are those of ``llm`` and two more; no value is taken over from section ``llm``.
    """

    tasks: tuple[Literal["qa", "nli"], ...] = Field(
        default=("qa", "nli"), description="Tasks that it is evaluated on: qa, nli."
    )
    nli_adapter: ModelSource | None = Field(
        default=None,
        min_length=1,
        description="Folder or hub id of an adapter trained for inference; adds the column tuned.",
    )


class Published(Section):
    """Published accuracies, shown beside the measured ones."""

    source: str = Field(min_length=1, description="Source of the published figures, for captions.")
    retrieval: dict[str, float] = Field(default={}, description="accuracy@1 by retriever.")
    qa: dict[str, dict[str, float]] = Field(
        default={}, description="Accuracy by model and context: none, gold, retrieved_NAME."
    )
    nli: dict[str, dict[str, float]] = Field(
        default={}, description="Accuracy by model and column: zero-shot, K-shot, tuned."
    )


class GridConfig(Section):
    """``eval grid``: every model with every context, retriever and number of few-shot examples."""

    parts: tuple[GridPart, ...] = Field(
        default=("retrieval", "qa", "nli"), min_length=1, description="Tables to measure: retrieval, qa, nli."
    )
    llms: dict[str, GridLLM] = Field(
        default={}, description="Language models by name; without any, the model of section llm with nli.adapter."
    )
    contexts: tuple[Context, ...] = Field(
        default=("none", "retrieved", "gold"),
        min_length=1,
        description="Contexts that the models answer from: none, retrieved, gold.",
    )
    retrievers: tuple[str, ...] | None = Field(
        default=None, description="Names of section retrievers; null for all of them."
    )
    shots: tuple[Annotated[int, Field(ge=0, strict=True)], ...] = Field(
        default=(0,), description="Numbers of few-shot examples per label for inference."
    )
    encoders: dict[str, str] = Field(
        default={}, description="Sequence classifiers evaluated on the pairs: a folder or hub id by name."
    )
    published: Published | None = Field(
        default=None, description="Accuracies reported by others; see configs/tutorial_grid.yaml."
    )


class TaskConfig(BaseModel):
    """A task of ``medground eval tasks``: its kind and its fields."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str = Field(
        min_length=1,
        description="retrieval, qa, nli, verified, answers, check, or a class of yours as package.module.Class.",
    )


class EvalConfig(Section):
    """Evaluation."""

    tasks: tuple[TaskConfig, ...] = Field(
        default=(),
        description="Tasks of medground eval tasks, such as {kind: qa, context: gold} or {kind: my_module.MyTask}.",
    )
    grid: GridConfig = GridConfig()
