"""Training and dev examples of a QLoRA run, tokenised as in the prompts of ``chains.nli``."""

from collections.abc import Iterator, Sequence
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

IGNORED = -100  # target of tokens that do not count in the loss


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of prompt and answer; the answer, with its end token, begins at ``start``."""

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
        leakage: repeated premises.
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
    made: list[NLIPair] = []
    if config.answer_pairs:
        made = answer_pairs(answers, pairs.labels, setting="train.qlora.answer_pairs", seed=config.seed)
    all_pairs = (*train.pairs, *made)
    check_labels([pair.label for pair in all_pairs], "Check pairs.labels and pairs.columns.label.")
    examples = encode_pairs(base, all_pairs, train.labels, prompt.family, config.max_length)
    measured = encode_pairs(base, dev.pairs[: config.dev_limit], train.labels, prompt.family, config.max_length)
    for name, split in (("train", examples), ("dev", measured)):
        if not split.examples:
            limit = f" or train.qlora.max_length of {config.max_length}" if config.max_length else ""
            raise UserError(
                f"Every pair of the {name} split is longer than the model's window of {base.window} tokens{limit}. "
                "Choose a model with a larger window, or raise the limit."
            )
    return QLoRAData(examples, measured, train.labels, len(made), find_leakage(train.pairs, dev.pairs, pairs))


def encode_pairs(
    llm: LocalLLM, pairs: Sequence[NLIPair], labels: Sequence[str], family: Family, max_length: int | None = None
) -> Examples:
    """Tokenise each pair with its label; pairs longer than the window or ``max_length`` are left out.

    Prompt, white space, label and end token are tokenised as one text, so that the ids before ``start`` and those of
    the label are the ids that ``chains.models.scoring`` scores.
    """
    tokenizer = llm.tokenizer
    prompts = nli_prompts(llm, pairs, labels, llm.family(family))
    texts, prompt_ids = [text for text, _ in prompts], [ids for _, ids in prompts]
    lead, end = label_lead(tokenizer), answer_end(tokenizer)
    scorables = with_labels(tokenizer, texts, prompt_ids, labels, lead)
    full = encode(tokenizer, [text + lead + pair.label + end for text, pair in zip(texts, pairs, strict=True)])
    most = min((limit for limit in (llm.window, max_length) if limit is not None), default=None)
    longest = llm.label_length(labels)  # the dev figures score every label after the prompt
    kept = [
        (pair, Example(ids, len(scorable.ids)))
        for pair, ids, scorable, prompt in zip(pairs, full, scorables, prompt_ids, strict=True)
        if most is None or max(len(ids), len(prompt) + longest) <= most
    ]
    return Examples(tuple(one for _, one in kept), tuple(pair for pair, _ in kept), len(pairs) - len(kept))


def columns(examples: Sequence[Example], *, answer_only: bool) -> Iterator[tuple[list[int], list[int]]]:
    """The ids and the targets of each example; with ``answer_only`` the prompt's targets are ``IGNORED``."""
    for example in examples:
        prompt = [IGNORED] * example.start if answer_only else example.ids[: example.start]
        yield example.ids, prompt + example.ids[example.start :]
