"""The settings section ``train``: how a model is taught."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class QLoRAConfig(BaseModel):
    """How ``train qlora`` teaches the model of section ``llm`` the pairs of section ``pairs``.

    What the weights are loaded in, NF4 or not, is section ``llm``'s: ``llm.quantization: none`` makes it plain LoRA.

    Attributes:
        method: ``lora`` trains an adapter, ``full`` all weights of a model that is not quantised.
        rank, alpha, dropout: LoRA's r, alpha and dropout (Hu et al. 2021).
        target_modules: which layers the adapter changes: ``all-linear``, a list of names, or null for those that PEFT
            holds for the architecture's usual ones (queries and values as a rule).
        loss: ``answer`` learns the label alone, ``all`` the prompt too.
        epochs: how often the training pairs are seen at most.
        max_steps: stop after so many steps, whatever ``epochs`` says.
        batch_size: pairs that go through the model at once, on each device.
        accumulation: how many such batches make a step.
        learning_rate, schedule, warmup: the rate rises over the first ``warmup`` (a share of all steps), then follows
            the schedule.
        optimizer: paged ones need an NVIDIA card.
        weight_decay, max_grad_norm: AdamW's decay, and the norm that gradients are cut to; 0 cuts none.
        gradient_checkpointing: compute activations twice rather than keep them; for models that fill the card.
        share_start: compute what all prompts begin with once a batch, not once a pair; with ``loss: answer``, in a run
            of one process, without ``gradient_checkpointing``.
        group_by_length: batches of pairs of like length, so that little is padding.
        max_length: longer pairs are left out and counted; null leaves out only what the model's window cannot hold.
        every: steps between measurements on the dev pairs, with a checkpoint after each; also measured at the end.
        dev_limit: measure on so many dev pairs.
        patience: stop after so many measurements without a better one; null never does.
        keep: which checkpoint becomes the result, the ``best`` by dev accuracy or the ``last``.
        keep_checkpoints: how many checkpoints stay on disk, the best and the last among them; null keeps all.
        answer_pairs: mix in pairs made of labelled questions, so that the model can verify answers.
        report_to: where figures go while training, such as ``tensorboard``, ``wandb`` or ``mlflow``; none when empty.
        seed: of the adapter's start, the order and the dropout.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["lora", "full"] = "lora"
    rank: int = Field(default=16, ge=1, strict=True)
    alpha: float = Field(default=32, gt=0)
    dropout: float = Field(default=0, ge=0, lt=1)
    target_modules: Literal["all-linear"] | tuple[str, ...] | None = "all-linear"
    loss: Literal["answer", "all"] = "answer"
    epochs: float = Field(default=3, gt=0)
    max_steps: int | None = Field(default=None, ge=1, strict=True)
    batch_size: int = Field(default=16, ge=1, strict=True)
    accumulation: int = Field(default=1, ge=1, strict=True)
    learning_rate: float = Field(default=5e-4, gt=0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(default=0.05, ge=0, lt=1)
    optimizer: Literal["adamw", "paged_adamw_32bit", "paged_adamw_8bit"] = "adamw"
    weight_decay: float = Field(default=0, ge=0)
    max_grad_norm: float = Field(default=1, ge=0)
    gradient_checkpointing: bool = False
    share_start: bool = True
    group_by_length: bool = True
    max_length: int | None = Field(default=None, ge=8, strict=True)
    every: int = Field(default=100, ge=1, strict=True)
    dev_limit: int | None = Field(default=None, ge=1, strict=True)
    patience: int | None = Field(default=None, ge=1, strict=True)
    keep: Literal["best", "last"] = "best"
    keep_checkpoints: int | None = Field(default=3, ge=1, strict=True)
    answer_pairs: bool = False
    report_to: tuple[str, ...] = ("tensorboard",)
    seed: int = Field(default=1, ge=0, strict=True)


class EncoderConfig(BaseModel):
    """How ``train encoder`` teaches a sequence classifier.

    Attributes:
        model: ``embedded`` (all-MiniLM-L6-v2), a hub id or a folder of an encoder; its classification head is new.
        task: ``nli`` teaches the labels of section ``pairs`` for (premise, hypothesis), ``qa`` yes, no or maybe for the
            (question, context) of section ``data``.
        epochs: how often each example is seen.
        batch_size: examples that a step sees.
        learning_rate, warmup: the rate rises over the first ``warmup`` (a share of the steps), then falls to 0.
        weight_decay: AdamW's.
        class_weight: a label's weight in the loss is its share of the examples to the power of minus this: 0 weighs all
            examples alike, 1 all labels.
        label_smoothing: the share of each target that is spread over all labels.
        max_length: how many tokens are read of a pair; a longer one loses sentences of its premise or context.
        keep_text: which part of a text that is too long is kept, its ``start`` or its ``end``.
        layers: use the encoder's first so many layers only; null uses all.
        frozen_layers: leave the embeddings and the first so many layers as they are; 0 trains everything.
        conclusions: of ``qa``, how many epochs teach the questions with the abstracts' own conclusions in the contexts'
            place, at ``conclusion_rate``, before ``epochs`` teach both; 0 teaches contexts alone.
        conclusion_rate: the highest rate of those epochs.
        answer_pairs: of ``nli``, mix in pairs made of labelled questions, so that the model can verify answers.
        teach_dev: teach the dev split too; nothing is measured then, and the last checkpoint is the result.
        every: steps between measurements on the dev split, with a checkpoint after each; also measured at the end.
        patience: stop after so many measurements without a better one; null never does.
        keep: which checkpoint becomes the result, the ``best`` by dev accuracy or the ``last``.
        keep_checkpoints: how many checkpoints stay on disk, the best and the last among them; null keeps all.
        report_to: where figures go while training, such as ``tensorboard``, ``wandb`` or ``mlflow``; none when empty.
        seed: of the head's start, the order and the dropout.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(default="embedded", min_length=1)
    task: Literal["nli", "qa"] = "nli"
    epochs: int = Field(default=3, ge=1, strict=True)
    batch_size: int = Field(default=16, ge=1, strict=True)
    learning_rate: float = Field(default=1e-4, gt=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    class_weight: float = Field(default=0, ge=0, le=1)
    label_smoothing: float = Field(default=0, ge=0, lt=1)
    max_length: int = Field(default=256, ge=8, strict=True)
    keep_text: Literal["start", "end"] = "start"
    layers: int | None = Field(default=None, ge=1, strict=True)
    frozen_layers: int = Field(default=0, ge=0, strict=True)
    conclusions: int = Field(default=0, ge=0, strict=True)
    conclusion_rate: float = Field(default=3e-4, gt=0)
    answer_pairs: bool = False
    teach_dev: bool = False
    every: int = Field(default=100, ge=1, strict=True)
    patience: int | None = Field(default=None, ge=1, strict=True)
    keep: Literal["best", "last"] = "best"
    keep_checkpoints: int | None = Field(default=3, ge=1, strict=True)
    report_to: tuple[str, ...] = ("tensorboard",)
    seed: int = Field(default=1, ge=0, strict=True)

    @model_validator(mode="after")
    def _fits_the_task(self) -> Self:
        for name, task in (("conclusions", "qa"), ("answer_pairs", "nli")):
            if getattr(self, name) and self.task != task:
                raise ValueError(f"{name} is of task {task}, and the task is {self.task}")
        return self


class TaughtEmbedderConfig(BaseModel):
    """How ``train embedder`` teaches a sentence-transformers model which abstract belongs to which question.

    Attributes:
        model: ``embedded`` (all-MiniLM-L6-v2), a hub id or a folder.
        pairs: what of a record is brought near its abstract: its ``question``, its ``conclusion``.
        negatives: so many wrong abstracts, the first that BM25 finds for a text, are pushed away from it beside the
            other abstracts of its batch.
        epochs: how often each pair is seen.
        batch_size: pairs that a step sees.
        learning_rate, warmup: the rate rises over the first ``warmup`` (a share of the steps), then falls to 0.
        weight_decay: AdamW's.
        max_length: how many tokens of a text are read while training; in use the model reads as many as before.
        teach_dev: teach the dev split too; nothing is measured then, and the last checkpoint is the result.
        every: steps between measurements on the dev questions, with a checkpoint after each; also at the end.
        patience: stop after so many measurements without a better one; null never does.
        keep: which checkpoint becomes the result, the ``best`` by dev accuracy@1 or the ``last``.
        keep_checkpoints: how many checkpoints stay on disk, the best and the last among them; null keeps all.
        report_to: where figures go while training, such as ``tensorboard``, ``wandb`` or ``mlflow``; none when empty.
        seed: of the order and the dropout.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(default="embedded", min_length=1)
    pairs: tuple[Literal["question", "conclusion"], ...] = Field(default=("question", "conclusion"), min_length=1)
    negatives: int = Field(default=0, ge=0, strict=True)
    epochs: int = Field(default=2, ge=1, strict=True)
    batch_size: int = Field(default=32, ge=2, strict=True)
    learning_rate: float = Field(default=5e-5, gt=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    max_length: int = Field(default=128, ge=8, strict=True)
    teach_dev: bool = False
    every: int = Field(default=25, ge=1, strict=True)
    patience: int | None = Field(default=None, ge=1, strict=True)
    keep: Literal["best", "last"] = "best"
    keep_checkpoints: int | None = Field(default=3, ge=1, strict=True)
    report_to: tuple[str, ...] = ("tensorboard",)
    seed: int = Field(default=1, ge=0, strict=True)


class TrainConfig(BaseModel):
    """The section ``train``: one part for each way of teaching."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    qlora: QLoRAConfig = QLoRAConfig()
    encoder: EncoderConfig = EncoderConfig()
    embedder: TaughtEmbedderConfig = TaughtEmbedderConfig()
