"""Training and dev examples of an encoder run, with the same encoding as ``chains.encoder.classifier``."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from chains.encoder.pair_texts import PairTexts, Side
from common.errors import UserError
from corpus.config import DataConfig, PairsConfig
from corpus.load import load_records
from corpus.records import LABELS, QARecord
from finetune.config import EncoderConfig
from finetune.leakage import Leakage
from finetune.pairs import check_labels, read_training_pairs


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """Two texts and their label; if ``is_conclusion``, the second text is an abstract's conclusion, not its context."""

    first: str
    second: str
    label: str
    is_conclusion: bool = False


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of a run, not yet tokenized.

    ``side`` is the index (0 or 1) of the text to truncate if two texts do not fit the window.
    """

    train: tuple[LabelledTexts, ...]
    dev: tuple[LabelledTexts, ...]
    labels: tuple[str, ...]
    side: Side
    leakage: Leakage = field(default_factory=Leakage)


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
        shortened: number of training examples that lost sentences or words to fit the window.
        left_out: number of train and dev examples that do not fit the window even if truncated.
        leakage: premises repeated in other splits; empty with task ``qa``.
    """

    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    shortened: int
    left_out: int
    leakage: Leakage


def read_texts(config: EncoderConfig, pairs: PairsConfig | None, data: DataConfig | None) -> Texts:
    """The train and dev splits of the task; arguments as in ``train_encoder``.

    Raises:
        UserError: a split is empty or missing, a record has no label, or the training split has one label only.
        DataError: a file cannot be used.
    """
    data = data or DataConfig()
    return _read_records(data, config) if config.task == "qa" else _read_pairs(pairs or PairsConfig(), data, config)


def encode_texts(texts: Texts, encoder: PairTexts) -> EncoderData:
    """Tokenize the texts; long texts lose whole sentences.

    Raises:
        UserError: no text of a split fits.
    """
    train, shortened = _encode(texts, texts.train, encoder)
    dev, _ = _encode(texts, texts.dev, encoder)
    for name, split_texts, encoded in (("training", texts.train, train), ("dev", texts.dev, dev)):
        if split_texts and not encoded:
            raise UserError(
                f"No text of the {name} split fits into {encoder.window} tokens. Set train.encoder.max_length higher."
            )
    left_out = len(texts.train) + len(texts.dev) - len(train) - len(dev)
    return EncoderData(train, dev, shortened, left_out, texts.leakage)


def _encode(texts: Texts, split: Sequence[LabelledTexts], encoder: PairTexts) -> tuple[tuple[Example, ...], int]:
    """The examples of a split that fit the window, whole or truncated, and the number of truncated ones."""
    pairs = [(encoder.clean(text.first).strip(), encoder.clean(text.second).strip()) for text in split]
    examples: list[Example] = []
    shortened = 0
    for text, pair, inputs in zip(split, pairs, encoder.encode(pairs), strict=True):
        if not encoder.fits(inputs):
            try:
                truncated = pair[texts.side][slice(*encoder.fit(pair, texts.side))]
            except UserError:
                continue
            pair = (truncated, pair[1]) if texts.side == 0 else (pair[0], truncated)
            inputs = encoder.encode([pair])[0]
            shortened += 1
        examples.append(Example(inputs, texts.labels.index(text.label), text.is_conclusion))
    return tuple(examples), shortened


def _read_pairs(pairs: PairsConfig, data: DataConfig, config: EncoderConfig) -> Texts:
    read = read_training_pairs(
        pairs,
        load_records(data, "train") if config.answer_pairs else None,
        setting="train.encoder.answer_pairs",
        seed=config.seed,
        teach_dev=config.teach_dev,
    )
    train, dev = (
        tuple(LabelledTexts(pair.premise, pair.hypothesis, pair.label) for pair in split)
        for split in (read.train, read.dev)
    )
    return Texts(train, dev, read.labels, 0, read.leakage)


def _read_records(data: DataConfig, config: EncoderConfig) -> Texts:
    train, dev = load_records(data, "train"), load_records(data, "dev")
    if unlabelled := [record.id for record in (*train, *dev) if record.label is None]:
        raise UserError(
            f"{len(unlabelled)} of {len(train) + len(dev)} records have no label (the first is {unlabelled[0]}). "
            "Choose labelled records, such as PubMedQA's pqa_labeled."
        )
    train_texts = _questions(train, conclusions=config.conclusions > 0)
    dev_texts = _questions(dev, conclusions=config.conclusions > 0 and config.teach_dev)
    if config.teach_dev:
        train_texts, dev_texts = train_texts + dev_texts, ()
    check_labels([text.label for text in train_texts])
    return Texts(train_texts, dev_texts, LABELS, 1)


def _questions(records: Sequence[QARecord], *, conclusions: bool) -> tuple[LabelledTexts, ...]:
    """The questions with their contexts, then with the abstracts' conclusions, which state the answer more directly."""
    labelled = [(record, record.label) for record in records if record.label is not None]
    texts = [LabelledTexts(record.question, record.context, label) for record, label in labelled]
    if conclusions:
        texts += [
            LabelledTexts(record.question, record.conclusion, label, is_conclusion=True)
            for record, label in labelled
            if record.conclusion.strip()
        ]
    return tuple(texts)
