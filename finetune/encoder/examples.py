"""Training texts of a sequence classifier, laid out as ``chains.encoder.classifier`` reads them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from chains.encoder.pair_texts import PairTexts, Side
from common.errors import UserError
from corpus.config import DataConfig, PairsConfig
from corpus.load import load_records
from corpus.nli import NLIPair, load_pairs, pair_file
from corpus.records import LABELS, QARecord
from finetune.config import EncoderConfig
from finetune.pairs import answer_pairs
from finetune.repeated import Repeated, repeated_by_split


@dataclass(frozen=True, slots=True)
class Taught:
    """Two texts and the label that a classifier is to give them.

    ``side`` is the text that may be cut; ``concluded`` says that the second is a conclusion in its context's place.
    """

    first: str
    second: str
    label: str
    side: Side
    concluded: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """What the model takes for one pair, and the label's number; ``concluded`` as in ``Taught``."""

    inputs: dict[str, list[int]]
    label: int
    concluded: bool = False


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is taught and what it is measured on.

    Attributes:
        train: the examples.
        dev: those that choose the checkpoint; none where they are taught too.
        labels: in the order of the model's outputs.
        shortened: how many of ``train`` lost sentences or words to fit the window.
        left_out: how many texts of either split the window leaves no room for, whatever is cut.
        repeated: of pairs, see ``finetune.repeated``.
    """

    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    labels: tuple[str, ...]
    shortened: int
    left_out: int
    repeated: Repeated = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of a lesson, not yet laid out for a model."""

    train: tuple[Taught, ...]
    dev: tuple[Taught, ...]
    labels: tuple[str, ...]
    repeated: Repeated = field(default_factory=dict)


def read_texts(config: EncoderConfig, pairs: PairsConfig | None, data: DataConfig | None) -> Texts:
    """The train and dev splits that the task is taught from.

    Args:
        config: which task, and whether the dev split is taught too.
        pairs: where the pairs of task ``nli`` come from; the sample where None.
        data: where the records of task ``qa``, or of ``answer_pairs``, come from; the sample where None.

    Raises:
        UserError: a split is empty or missing, a record has no label, or the training split has one label only.
        DataError: a file cannot be used.
    """
    repeated: Repeated = {}
    match config.task:
        case "nli":
            labels, train, dev, repeated = _of_pairs(pairs or PairsConfig(), data or DataConfig(), config)
        case "qa":
            labels, train, dev = _of_records(data or DataConfig(), config)
        case _:
            assert_never(config.task)
    if config.teach_dev:
        train, dev = train + dev, ()
    found = Counter(one.label for one in train)
    if len(found) < 2:
        raise UserError(
            f"All {len(train)} training examples have the label {next(iter(found))}, so there is nothing to tell "
            "apart. Check the training split and its labels."
        )
    return Texts(train, dev, labels, repeated)


def lay_out(texts: Texts, layout: PairTexts) -> Lesson:
    """The texts as the model takes them; of a text that is too long whole sentences are left out.

    Raises:
        UserError: nothing of a split fits.
    """
    train, shortened = _lay_out(texts.train, texts.labels, layout)
    dev, _ = _lay_out(texts.dev, texts.labels, layout)
    for name, laid, given in (("training", train, texts.train), ("dev", dev, texts.dev)):
        if given and not laid:
            raise UserError(
                f"No text of the {name} split fits {layout.window} tokens. Set train.encoder.max_length higher."
            )
    left_out = len(texts.train) + len(texts.dev) - len(train) - len(dev)
    return Lesson(train, dev, texts.labels, shortened, left_out, texts.repeated)


def _lay_out(taught: Sequence[Taught], labels: Sequence[str], layout: PairTexts) -> tuple[tuple[Example, ...], int]:
    numbers = {label: number for number, label in enumerate(labels)}
    cleaned = [(layout.clean(one.first).strip(), layout.clean(one.second).strip()) for one in taught]
    examples: list[Example] = []
    shortened = 0
    for one, pair, whole in zip(taught, cleaned, layout.encode(cleaned), strict=True):
        if layout.fits(whole):
            examples.append(Example(whole, numbers[one.label], one.concluded))
            continue
        try:
            kept = pair[one.side][slice(*layout.fit(pair, one.side))]
        except UserError:
            continue
        cut = (kept, pair[1]) if one.side == 0 else (pair[0], kept)
        examples.append(Example(layout.encode([cut])[0], numbers[one.label], one.concluded))
        shortened += 1
    return tuple(examples), shortened


def _of_pairs(
    config: PairsConfig, data: DataConfig, how: EncoderConfig
) -> tuple[tuple[str, ...], tuple[Taught, ...], tuple[Taught, ...], Repeated]:
    if pair_file(config, "train") == pair_file(config, "dev") and config.path != "snli":
        raise UserError(
            f"pairs.path is {config.path}, one file for all splits, and training needs train and dev pairs apart. "
            "Name the folder in pairs.path and the files in pairs.files."
        )
    train, dev = load_pairs(config, "train"), load_pairs(config, "dev")
    made: list[NLIPair] = []
    if how.answer_pairs:
        records = load_records(data, "train")
        made = answer_pairs(records, config.labels, setting="train.encoder.answer_pairs", seed=how.seed)
    taught, measured = ((*train.pairs, *dev.pairs), ()) if how.teach_dev else (train.pairs, dev.pairs)
    repeated = repeated_by_split(taught, measured, config)
    return train.labels, _taught((*train.pairs, *made)), _taught(dev.pairs), repeated


def _taught(pairs: Iterable[NLIPair]) -> tuple[Taught, ...]:
    return tuple(Taught(pair.premise, pair.hypothesis, pair.label, side=0) for pair in pairs)


def _of_records(
    config: DataConfig, how: EncoderConfig
) -> tuple[tuple[str, ...], tuple[Taught, ...], tuple[Taught, ...]]:
    train, dev = load_records(config, "train"), load_records(config, "dev")
    if without := [record.id for record in (*train, *dev) if record.label is None]:
        raise UserError(
            f"{len(without)} of {len(train) + len(dev)} records carry no label to learn (the first is {without[0]}). "
            "Take labelled records, such as PubMedQA's pqa_labeled."
        )
    learned, measured = list(_asked(train)), list(_asked(dev))
    if how.conclusions:
        learned += _concluded(train)
        measured += _concluded(dev) if how.teach_dev else []
    return LABELS, tuple(learned), tuple(measured)


def _asked(records: Sequence[QARecord]) -> Iterable[Taught]:
    return (Taught(one.question, one.context, one.label, side=1) for one in records if one.label is not None)


def _concluded(records: Sequence[QARecord]) -> list[Taught]:
    """The question with the abstract's own conclusion, where it has one: the same judgement, plainly put."""
    return [
        Taught(one.question, one.conclusion, one.label, side=1, concluded=True)
        for one in records
        if one.label is not None and one.conclusion.strip()
    ]
