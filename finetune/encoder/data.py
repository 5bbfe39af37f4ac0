"""Training and dev examples of an encoder run, with the same encoding as ``chains.encoder.classifier``."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from chains.encoder.pair_texts import PairTexts, Side
from common.errors import UserError
from corpus.config import DataConfig, PairsConfig
from corpus.inference.pairs import NLIPair
from corpus.load import load_records
from corpus.records import LABELS, QARecord
from finetune.config import EncoderConfig
from finetune.leakage import Leakage, find_leakage
from finetune.pairs import answer_pairs, check_labels, load_train_and_dev


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """Two texts and their label.

    ``side`` is the text that is truncated if both do not fit. If ``is_conclusion``, the second text is an abstract's
    conclusion instead of its context.
    """

    first: str
    second: str
    label: str
    side: Side
    is_conclusion: bool = False


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of a run, before they are encoded for a model."""

    train: tuple[LabelledTexts, ...]
    dev: tuple[LabelledTexts, ...]
    labels: tuple[str, ...]
    leakage: Leakage = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Example:
    """The model's inputs for two texts, and the index of their label."""

    inputs: dict[str, list[int]]
    label: int
    is_conclusion: bool = False


@dataclass(frozen=True, slots=True)
class EncoderData:
    """The examples of a run.

    Attributes:
        train: training examples.
        dev: dev examples; empty if the run trains on them.
        labels: in the order of the model's outputs.
        shortened: number of training examples that lost sentences or words to fit the window.
        left_out: number of texts of both splits that do not fit the window even if truncated.
        leakage: repeated premises, of task ``nli``.
    """

    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    labels: tuple[str, ...]
    shortened: int
    left_out: int
    leakage: Leakage = field(default_factory=dict)


def read_texts(config: EncoderConfig, pairs: PairsConfig | None, data: DataConfig | None) -> Texts:
    """The train and dev splits of the task; arguments as in ``train_encoder``.

    Raises:
        UserError: a split is empty or missing, a record has no label, or the training split has one label only.
        DataError: a file cannot be used.
    """
    data = data or DataConfig()
    texts = _from_records(data, config) if config.task == "qa" else _from_pairs(pairs or PairsConfig(), data, config)
    check_labels([one.label for one in texts.train], "Check the training split and its labels.")
    return texts


def encode_texts(texts: Texts, encoder: PairTexts) -> EncoderData:
    """Encode the texts; long texts lose whole sentences.

    Raises:
        UserError: no text of a split fits.
    """
    train, shortened = _encode(texts.train, texts.labels, encoder)
    dev, _ = _encode(texts.dev, texts.labels, encoder)
    for name, encoded, given in (("training", train, texts.train), ("dev", dev, texts.dev)):
        if given and not encoded:
            raise UserError(
                f"No text of the {name} split fits into {encoder.window} tokens. Set train.encoder.max_length higher."
            )
    left_out = len(texts.train) + len(texts.dev) - len(train) - len(dev)
    return EncoderData(train, dev, texts.labels, shortened, left_out, texts.leakage)


def _encode(
    texts: Sequence[LabelledTexts], labels: Sequence[str], encoder: PairTexts
) -> tuple[tuple[Example, ...], int]:
    indices = {label: index for index, label in enumerate(labels)}
    cleaned = [(encoder.clean(one.first).strip(), encoder.clean(one.second).strip()) for one in texts]
    examples: list[Example] = []
    shortened = 0
    for one, pair, whole in zip(texts, cleaned, encoder.encode(cleaned), strict=True):
        if encoder.fits(whole):
            examples.append(Example(whole, indices[one.label], one.is_conclusion))
            continue
        try:
            kept = pair[one.side][slice(*encoder.fit(pair, one.side))]
        except UserError:
            continue
        cut = (kept, pair[1]) if one.side == 0 else (pair[0], kept)
        examples.append(Example(encoder.encode([cut])[0], indices[one.label], one.is_conclusion))
        shortened += 1
    return tuple(examples), shortened


def _from_pairs(pairs: PairsConfig, data: DataConfig, config: EncoderConfig) -> Texts:
    train, dev = load_train_and_dev(pairs)
    made: list[NLIPair] = []
    if config.answer_pairs:
        records = load_records(data, "train")
        made = answer_pairs(records, pairs.labels, setting="train.encoder.answer_pairs", seed=config.seed)
    if config.teach_dev:
        leakage = find_leakage((*train.pairs, *dev.pairs), (), pairs)
        return Texts(_of_pairs((*train.pairs, *made, *dev.pairs)), (), train.labels, leakage)
    leakage = find_leakage(train.pairs, dev.pairs, pairs)
    return Texts(_of_pairs((*train.pairs, *made)), _of_pairs(dev.pairs), train.labels, leakage)


def _of_pairs(pairs: Iterable[NLIPair]) -> tuple[LabelledTexts, ...]:
    return tuple(LabelledTexts(pair.premise, pair.hypothesis, pair.label, side=0) for pair in pairs)


def _from_records(data: DataConfig, config: EncoderConfig) -> Texts:
    train, dev = load_records(data, "train"), load_records(data, "dev")
    if without := [record.id for record in (*train, *dev) if record.label is None]:
        raise UserError(
            f"{len(without)} of {len(train) + len(dev)} records have no label (the first is {without[0]}). Choose "
            "labelled records, such as PubMedQA's pqa_labeled."
        )
    examples, measured = _questions(train), _questions(dev)
    if config.conclusions:
        examples += _conclusions(train)
    if config.teach_dev:
        examples += measured + (_conclusions(dev) if config.conclusions else [])
        measured = []
    return Texts(tuple(examples), tuple(measured), LABELS)


def _questions(records: Sequence[QARecord]) -> list[LabelledTexts]:
    return [LabelledTexts(one.question, one.context, one.label, side=1) for one in records if one.label is not None]


def _conclusions(records: Sequence[QARecord]) -> list[LabelledTexts]:
    """The questions with the abstracts' conclusions, which state the answer more directly than the contexts."""
    return [
        LabelledTexts(one.question, one.conclusion, one.label, side=1, is_conclusion=True)
        for one in records
        if one.label is not None and one.conclusion.strip()
    ]
