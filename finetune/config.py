"""The settings section ``train``."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from common.hub import ModelSource
from retrievers.config import Count, Section

Natural = Annotated[int, Field(ge=0, strict=True)]
TokenCount = Annotated[int, Field(ge=8, strict=True)]

# Descriptions of settings that several sections have:
_EVERY = "Steps between evaluations on the dev split; each writes a checkpoint. The last step is evaluated too."
_ANSWER_PAIRS = "Also train on pairs made from the labelled training questions of section data, to verify answers."
_TEACH_DEV = "Train on the dev split too. Nothing is evaluated then, and the last checkpoint is the result."
_LEARNING_RATE = "Peak learning rate."


class RunConfig(Section):
    """Settings of every training run."""

    batch_size: Count = Field(default=16, description="Examples in a batch, on each device.")
    learning_rate: float = Field(default=1e-4, gt=0, description=_LEARNING_RATE)
    warmup: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the steps that warm up the learning rate. It then falls linearly to 0.",
    )
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW weight decay.")
    every: Count = Field(default=100, description=_EVERY)
    patience: Count | None = Field(
        default=None, description="Stop after this many evaluations without improvement; null never stops early."
    )
    keep: Literal["best", "last"] = Field(default="best", description="Which checkpoint becomes the result.")
    keep_checkpoints: Count | None = Field(
        default=3, description="Checkpoints kept on disk, including the best and the last; null keeps all."
    )
    report_to: tuple[str, ...] = Field(
        default=("tensorboard",),
        description="Where training metrics are logged, such as tensorboard, wandb or mlflow; an empty list logs "
        "nowhere.",
    )
    seed: Natural = Field(default=1, description="Seed of new weights, order and dropout.")

    def recipe(self) -> dict[str, Any]:
        """The settings that decide the trained weights."""
        return self.model_dump(exclude={"report_to", "keep_checkpoints"})


class QLoRAConfig(RunConfig):
    """``train qlora`` trains the model of section ``llm`` on the pairs of section ``pairs``.

    ``llm.quantization`` decides how the weights are loaded; with ``none`` it is plain LoRA.
    """

    method: Literal["lora", "full"] = Field(
        default="lora", description="Train an adapter, or all weights. full needs llm.quantization none."
    )
    rank: Count = Field(default=16, description="LoRA rank r (Hu et al., 2021).")
    alpha: float = Field(default=32, gt=0, description="LoRA alpha.")
    dropout: float = Field(default=0, ge=0, lt=1, description="LoRA dropout.")
    target_modules: Literal["all-linear"] | tuple[str, ...] | None = Field(
        default="all-linear",
        description="Layers with an adapter: all-linear, a list of names, or null for PEFT's default.",
    )
    loss: Literal["answer", "all"] = Field(
        default="answer", description="Tokens that the loss covers: the label alone, or the prompt too."
    )
    epochs: float = Field(default=3, gt=0, description="Maximum number of epochs.")
    max_steps: Count | None = Field(default=None, description="Maximum number of steps, whatever epochs is.")
    batch_size: Count = Field(default=16, description="Pairs in a batch, on each device.")
    accumulation: Count = Field(default=1, description="Batches in a step.")
    learning_rate: float = Field(
        default=5e-4, gt=0, description="Peak learning rate. For billions of parameters: 1e-4 to 2e-4."
    )
    schedule: Literal["linear", "cosine", "constant"] = Field(
        default="linear", description="Learning rate schedule after the warm-up."
    )
    warmup: float = Field(default=0.05, ge=0, lt=1, description="Share of the steps that warm up the learning rate.")
    optimizer: Literal["adamw", "paged_adamw_32bit", "paged_adamw_8bit"] = Field(
        default="adamw", description="Optimizer. The paged ones need an NVIDIA card."
    )
    weight_decay: float = Field(default=0, ge=0, description="AdamW weight decay.")
    max_grad_norm: float = Field(default=1, ge=0, description="Norm that gradients are clipped to; 0 clips none.")
    gradient_checkpointing: bool = Field(
        default=False, description="Recompute activations instead of keeping them. For models that fill the card."
    )
    share_start: bool = Field(
        default=True,
        description="Compute the common start of all prompts once a batch. Needs loss answer, one process and no "
        "gradient_checkpointing.",
    )
    group_by_length: bool = Field(default=True, description="Batch pairs of similar length, to pad less.")
    max_length: TokenCount | None = Field(
        default=None, description="Tokens of a pair; longer pairs are left out. null: the model's window."
    )
    dev_limit: Count | None = Field(default=None, description="Number of dev pairs to evaluate on; null for all.")
    answer_pairs: bool = Field(default=False, description=_ANSWER_PAIRS)


class EncoderConfig(RunConfig):
    """``train encoder`` trains a sequence classifier."""

    model: ModelSource = Field(
        default="embedded",
        min_length=1,
        description="Encoder: embedded (all-MiniLM-L6-v2), a hub id or a folder. Its classification head is new.",
    )
    task: Literal["nli", "qa"] = Field(
        default="nli",
        description="What is classified. nli: the pairs of section pairs. qa: yes, no or maybe for the question and "
        "context of section data.",
    )
    epochs: Count = Field(default=3, description="Maximum number of epochs.")
    class_weight: float = Field(
        default=0,
        ge=0,
        le=1,
        description="0 weighs all examples alike, 1 all labels. The weight of a label is its share to the power of "
        "minus this value.",
    )
    label_smoothing: float = Field(
        default=0, ge=0, lt=1, description="Share of each target that is spread over all labels."
    )
    max_length: TokenCount = Field(
        default=256, description="Tokens of a pair. A longer pair loses sentences of its premise or context."
    )
    keep_text: Literal["start", "end"] = Field(
        default="start", description="Which part of a text that is too long is kept."
    )
    layers: Count | None = Field(default=None, description="Number of encoder layers, from the first; null for all.")
    frozen_layers: Natural = Field(
        default=0, description="Freeze this many layers and the embeddings; 0 trains everything."
    )
    conclusions: Natural = Field(
        default=0,
        description="Of task qa: epochs on the abstracts' conclusions alone; then come the epochs on all texts.",
    )
    conclusion_rate: float = Field(default=3e-4, gt=0, description="Peak learning rate of the epochs on conclusions.")
    answer_pairs: bool = Field(default=False, description=f"Of task nli. {_ANSWER_PAIRS}")
    teach_dev: bool = Field(default=False, description=_TEACH_DEV)

    @model_validator(mode="after")
    def _check_settings_of_other_tasks(self) -> Self:
        for name, task in (("conclusions", "qa"), ("answer_pairs", "nli")):
            if getattr(self, name) and self.task != task:
                raise ValueError(f"{name} is of task {task}, and the task is {self.task}")
        return self


class EmbedderTrainConfig(RunConfig):
    """``train embedder`` trains an embedder to match questions with abstracts, or claims with evidence sentences."""

    model: ModelSource = Field(
        default="embedded",
        min_length=1,
        description="Embedder: embedded (all-MiniLM-L6-v2), a hub id or a folder of a sentence-transformers model.",
    )
    task: Literal["abstracts", "evidence"] = Field(
        default="abstracts",
        description=(
            "What is matched. abstracts: the questions and abstracts of section data, for retrieval. evidence: the "
            "claims of section claims (SciFact's format) and their labelled sentences, for chain.quote_embedder."
        ),
    )
    pairs: tuple[Literal["question", "conclusion"], ...] = Field(
        default=("question", "conclusion"),
        min_length=1,
        description="Of task abstracts: texts of a record that are matched with its abstract: question, conclusion.",
    )
    negatives: Natural = Field(
        default=0,
        description=(
            "Hard negatives for each text, beside the other texts of the batch: abstracts found by BM25, or of task "
            "evidence other sentences of the same document."
        ),
    )
    epochs: Count = Field(default=2, description="Maximum number of epochs.")
    batch_size: int = Field(default=32, ge=2, strict=True, description="Pairs in a batch, on each device.")
    learning_rate: float = Field(default=5e-5, gt=0, description=_LEARNING_RATE)
    max_length: TokenCount = Field(
        default=128, description="Tokens of a text in training. In use the model reads as many tokens as its base."
    )
    teach_dev: bool = Field(default=False, description=_TEACH_DEV)
    every: Count = Field(default=25, description=_EVERY)

    @model_validator(mode="after")
    def _check_settings_of_other_tasks(self) -> Self:
        if self.task == "evidence" and self.pairs != type(self).model_fields["pairs"].default:
            raise ValueError("pairs is of task abstracts, and the task is evidence")
        return self


class TrainConfig(Section):
    """Training of models. ``configs/qlora.yaml`` and ``configs/encoder.yaml`` are recipes."""

    qlora: QLoRAConfig = QLoRAConfig()
    encoder: EncoderConfig = EncoderConfig()
    embedder: EmbedderTrainConfig = EmbedderTrainConfig()
