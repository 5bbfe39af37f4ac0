"""Training and dev examples of a QLoRA run, tokenised as in the prompts of ``chains.nli``."""

from collections.abc import Sequence
from dataclasses import dataclass

from chains.config import Family, PromptConfig
from chains.models.local import LocalLLM
from chains.models.scoring import encode, with_labels
from chains.models.templates import answer_end, label_lead
from common.errors import UserError
from corpus.config import PairsConfig
from corpus.inference.pairs import NLIPair
from corpus.records import QARecord
from finetune.config import QLoRAConfig
from finetune.leakage import Leakage, find_leakage
from finetune.pairs import answer_pairs, check_labels, load_train_and_dev, nli_prompts

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
    """The examples of a run.

    Attributes:
        train: training examples.
        dev: dev examples, for choosing the checkpoint.
        labels: the candidate labels.
        answer_pairs: number of training pairs made from questions.
        leakage: premises repeated in other splits.
    """

    train: Examples
    dev: Examples
    labels: tuple[str, ...]
    answer_pairs: int
    leakage: Leakage


def make_data(
    base: LocalLLM, prompt: PromptConfig, pairs: PairsConfig, config: QLoRAConfig, answers: Sequence[QARecord]
) -> QLoRAData:
    """Read and tokenise the pairs.

    Raises:
        UserError: a split is missing, empty or too long for the model, all labels are the same, or answer pairs cannot
            be made.
    """
    train, dev = load_train_and_dev(pairs)
    generated: list[NLIPair] = []
    if config.answer_pairs:
        generated = answer_pairs(answers, pairs.labels, setting="train.qlora.answer_pairs", seed=config.seed)
    all_pairs = (*train.pairs, *generated)
    check_labels([pair.label for pair in all_pairs])
    train_examples = encode_pairs(base, all_pairs, train.labels, prompt.family, config.max_length)
    dev_examples = encode_pairs(base, dev.pairs[: config.dev_limit], train.labels, prompt.family, config.max_length)
    for name, split in (("train", train_examples), ("dev", dev_examples)):
        if not split.examples:
            limit = f" or train.qlora.max_length of {config.max_length}" if config.max_length else ""
            raise UserError(
                f"Every pair of the {name} split is longer than the model's window of {base.window} tokens{limit}. "
                "Choose a model with a larger window, or raise the limit."
            )
    leakage = find_leakage(train.pairs, dev.pairs, pairs)
    return QLoRAData(train_examples, dev_examples, train.labels, len(generated), leakage)


def encode_pairs(
    llm: LocalLLM, pairs: Sequence[NLIPair], labels: Sequence[str], family: Family, max_length: int | None = None
) -> Examples:
    """Tokenise each pair with its label; pairs longer than the window or ``max_length`` are left out.

    Prompt, white space, label and end token are tokenised as one text, so that the prompt and the label have the ids
    that ``chains.models.scoring`` scores.
    """
    tokenizer = llm.tokenizer
    prompts = nli_prompts(llm, pairs, labels, llm.family(family))
    texts, prompt_ids = [text for text, _ in prompts], [ids for _, ids in prompts]
    lead, end = label_lead(tokenizer), answer_end(tokenizer)
    scorables = with_labels(tokenizer, texts, prompt_ids, labels, lead)
    encoded = encode(tokenizer, [text + lead + pair.label + end for text, pair in zip(texts, pairs, strict=True)])
    limit = min((tokens for tokens in (llm.window, max_length) if tokens is not None), default=None)
    longest_label = llm.label_length(labels)  # evaluation scores every label after the prompt
    fitting = [
        (pair, Example(ids, len(scorable.ids)))
        for pair, ids, scorable, prompt in zip(pairs, encoded, scorables, prompt_ids, strict=True)
        if limit is None or max(len(ids), len(prompt) + longest_label) <= limit
    ]
    return Examples(
        examples=tuple(example for _, example in fitting),
        pairs=tuple(pair for pair, _ in fitting),
        left_out=len(pairs) - len(fitting),
    )


def dataset_row(example: Example, *, answer_only: bool) -> dict[str, list[int]]:
    """The row of a training dataset; with ``answer_only`` the labels of the prompt are ``IGNORED``."""
    ids, start = example.ids, example.start
    return {"input_ids": ids, "labels": ([IGNORED] * start if answer_only else ids[:start]) + ids[start:]}
