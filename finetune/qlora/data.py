"""Training and dev examples of a QLoRA run, tokenised as in the prompts of ``chains.nli``."""

from collections.abc import Sequence
from dataclasses import dataclass

from chains.config import Family, PromptConfig
from chains.models.local import LocalLLM
from chains.models.scoring import encode
from chains.models.templates import answer_end, label_lead
from common.errors import UserError
from corpus.config import PairsConfig
from corpus.inference.pairs import NLIPair
from corpus.records import QARecord
from finetune.config import QLoRAConfig
from finetune.pairs import TrainingPairs, nli_prompts, read_training_pairs

IGNORED = -100  # the target, in transformers and PyTorch, of tokens that do not count in the loss


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of prompt, answer and end token; ``start`` is the index of the answer's first token."""

    ids: list[int]
    start: int


@dataclass(frozen=True, slots=True)
class Examples:
    """The examples that fit the window, their pairs, and the number of pairs that do not fit."""

    examples: tuple[Example, ...]
    pairs: tuple[NLIPair, ...]
    left_out: int


@dataclass(frozen=True)
class QLoRAData:
    """The training examples, the dev examples for choosing the checkpoint, and the pairs that they are made of."""

    train: Examples
    dev: Examples
    source: TrainingPairs


def make_data(
    base: LocalLLM, prompt: PromptConfig, pairs: PairsConfig, config: QLoRAConfig, answers: Sequence[QARecord]
) -> QLoRAData:
    """Read and tokenise the pairs.

    Raises:
        UserError: a split is missing, empty or too long for the model, all labels are the same, or answer pairs cannot
            be made.
    """
    source = read_training_pairs(
        pairs, answers if config.answer_pairs else None, setting="train.qlora.answer_pairs", seed=config.seed
    )
    train, dev = (
        encode_pairs(base, split, source.labels, prompt.family, config.max_length)
        for split in (source.train, source.dev[: config.dev_limit])
    )
    for name, split in (("train", train), ("dev", dev)):
        if not split.examples:
            limit = f" or train.qlora.max_length of {config.max_length}" if config.max_length else ""
            raise UserError(
                f"Every pair of the {name} split is longer than the model's window of {base.window} tokens{limit}. "
                "Choose a model with a larger window, or raise the limit."
            )
    return QLoRAData(train, dev, source)


def encode_pairs(
    llm: LocalLLM, pairs: Sequence[NLIPair], labels: Sequence[str], family: Family, max_length: int | None = None
) -> Examples:
    """Tokenise each pair with its label; pairs longer than the window or ``max_length`` are left out.

    Prompt, white space, label and end token are tokenised as one text, so that the prompt and the label have the ids
    that ``chains.models.scoring`` scores.
    """
    prompts = nli_prompts(llm, pairs, labels, llm.family(family))
    lead, end = label_lead(llm.tokenizer), answer_end(llm.tokenizer)
    texts = [text + lead + pair.label + end for (text, _), pair in zip(prompts, pairs, strict=True)]
    limit = min((tokens for tokens in (llm.window, max_length) if tokens is not None), default=None)
    longest_label = llm.label_length(labels)  # evaluation scores every label after the prompt
    fitting = [
        (pair, Example(ids, len(scorable.ids)))
        for pair, ids, prompt, scorable in zip(
            pairs, encode(llm.tokenizer, texts), prompts, llm.with_labels(prompts, labels), strict=True
        )
        if limit is None or max(len(ids), llm.length(prompt) + longest_label) <= limit
    ]
    return Examples(
        examples=tuple(example for _, example in fitting),
        pairs=tuple(pair for pair, _ in fitting),
        left_out=len(pairs) - len(fitting),
    )


def dataset_row(example: Example, *, answer_only: bool) -> dict[str, list[int]]:
    """The row of a training dataset; with ``answer_only``, ``labels`` is ``IGNORED`` for the prompt's tokens."""
    ids, start = example.ids, example.start
    return {"input_ids": ids, "labels": ([IGNORED] * start if answer_only else ids[:start]) + ids[start:]}
