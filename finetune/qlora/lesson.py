"""What a run teaches, what it is measured on, and what decides its result."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chains.config import PromptConfig
from chains.models.local import LocalLLM
from chains.prompts import resolve_family
from common.errors import UserError
from corpus.config import PairsConfig
from corpus.nli import NLIPair, load_pairs, pair_file
from corpus.records import QARecord
from finetune.config import QLoRAConfig
from finetune.pairs import answer_pairs
from finetune.process import processes
from finetune.qlora.device import Fitted
from finetune.qlora.examples import Examples, encode_pairs
from finetune.repeated import Repeated, repeated_by_split

# Settings that change what is shown or kept, not what is learned.
_FREE = {"report_to", "keep_checkpoints"}


@dataclass(frozen=True)
class Lesson:
    """What is taught and what it is measured on."""

    train: Examples
    dev: Examples
    labels: tuple[str, ...]
    of_answers: int
    repeated: Repeated


def prepare(
    base: LocalLLM, prompt: PromptConfig, pairs: PairsConfig, config: QLoRAConfig, answers: Sequence[QARecord]
) -> Lesson:
    """Read and encode the pairs.

    Raises:
        UserError: a split is missing, empty or too long for the model, the labels are all one, or answer pairs cannot
            be made.
    """
    if pair_file(pairs, "train") == pair_file(pairs, "dev") and pairs.path != "snli":
        raise UserError(
            f"pairs.path is {pairs.path}, one file for all splits, and training needs train and dev pairs apart. "
            "Name the folder in pairs.path and the files in pairs.files."
        )
    train, dev = load_pairs(pairs, "train"), load_pairs(pairs, "dev")
    made: list[NLIPair] = []
    if config.answer_pairs:
        made = answer_pairs(answers, pairs.labels, setting="train.qlora.answer_pairs", seed=config.seed)
    taught: tuple[NLIPair, ...] = (*train.pairs, *made)
    found = {pair.label for pair in taught}
    if len(found) < 2:
        raise UserError(
            f"All {len(taught)} training pairs have the label {found.pop()}, so there is nothing to tell apart. "
            "Check pairs.labels and pairs.columns.label."
        )
    examples = encode_pairs(base, taught, train.labels, prompt.family, config.max_length)
    measured = encode_pairs(base, dev.pairs[: config.dev_limit], train.labels, prompt.family, config.max_length)
    for name, part in (("train", examples), ("dev", measured)):
        if not part.examples:
            raise UserError(
                f"Every pair of the {name} split is longer than the model's window of {base.window} tokens"
                + (f" or train.qlora.max_length of {config.max_length}" if config.max_length else "")
                + ". Choose a model with a larger window, or raise the limit."
            )
    return Lesson(examples, measured, train.labels, len(made), repeated_by_split(train.pairs, dev.pairs, pairs))


def recipe_of(base: LocalLLM, prompt: PromptConfig, lesson: Lesson, fitted: Fitted) -> dict[str, Any]:
    """Everything that decides the result, besides code, number of threads and processor; plain JSON."""
    tokenizer = base.tokenizer
    recipe = {
        "model": base.name,
        "quantization": fitted.llm.quantization,
        "double_quant": fitted.llm.double_quant,
        "dtype": str(fitted.compute).removeprefix("torch."),
        "family": resolve_family(prompt.family, base.model.config.model_type, base.name, str(tokenizer.chat_template)),
        "processes": processes(),
        "labels": lesson.labels,
        "training pairs": _digest([one.ids for one in lesson.train.examples]),
        "dev pairs": _digest([one.ids for one in lesson.dev.examples]),
        **fitted.config.model_dump(exclude=_FREE),
    }
    plain: dict[str, Any] = json.loads(json.dumps(recipe))
    return plain


def _digest(examples: Sequence[Sequence[int]]) -> str:
    return hashlib.sha256(json.dumps(examples).encode()).hexdigest()[:16]
