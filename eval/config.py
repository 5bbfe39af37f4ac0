"""The settings section ``eval``."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from chains.config import Context, LLMConfig

Part = Literal["retrieval", "qa", "nli"]


class GridLLM(LLMConfig):
    """A language model of the grid: the settings of section ``llm``, without its values.

    Attributes:
        tasks: what it is measured on.
        nli_adapter: folder or hub id of an adapter trained on inference; it adds the column "tuned".
    """

    tasks: tuple[Literal["qa", "nli"], ...] = ("qa", "nli")
    nli_adapter: str | None = Field(default=None, min_length=1)


class Published(BaseModel):
    """Accuracies that others report, shown beside the measured ones.

    Attributes:
        source: who reports them, for the tables' captions.
        retrieval: accuracy@1 by retriever.
        qa: accuracy by model and context: ``none, gold, retrieved_NAME``.
        nli: accuracy by model and ``zero-shot, K-shot, tuned``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=1)
    retrieval: dict[str, float] = {}
    qa: dict[str, dict[str, float]] = {}
    nli: dict[str, dict[str, float]] = {}


class GridConfig(BaseModel):
    """What ``medground eval grid`` measures: models by contexts by retrievers, and models by examples shown.

    Attributes:
        parts: which tables are measured.
        llms: by name; the model of section ``llm``, with ``nli.adapter`` if there is one, when empty.
        contexts: what the models read when they answer.
        retrievers: names of the section ``retrievers``; all of them when null.
        shots: how many training pairs of each label the models are shown when they judge pairs.
        encoders: by name a folder or hub id of a sequence classifier, measured on the pairs.
        published: accuracies to show beside; none when null.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parts: tuple[Part, ...] = Field(default=("retrieval", "qa", "nli"), min_length=1)
    llms: dict[str, GridLLM] = {}
    contexts: tuple[Context, ...] = Field(default=("none", "retrieved", "gold"), min_length=1)
    retrievers: tuple[str, ...] | None = None
    shots: tuple[Annotated[int, Field(ge=0, strict=True)], ...] = (0,)
    encoders: dict[str, str] = {}
    published: Published | None = None


class TaskConfig(BaseModel):
    """A task of ``medground eval tasks``: its kind and its fields.

    Attributes:
        kind: ``retrieval``, ``qa``, ``nli``, ``verified``, or a class as ``package.module.Class``.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str = Field(min_length=1)


class EvalConfig(BaseModel):
    """What is measured.

    Attributes:
        tasks: the tasks of ``medground eval tasks``.
        grid: the models and tasks of ``medground eval grid``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[TaskConfig, ...] = ()
    grid: GridConfig = GridConfig()
