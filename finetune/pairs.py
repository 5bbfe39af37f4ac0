"""Training pairs of section ``pairs``, and pairs for answer verification made from labelled questions."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chains.models.base import Prompt
from chains.models.local import LocalLLM
from chains.nli import NLI_LABELS
from chains.prompts import PromptFamily, answer_statement, nli_prompt
from common.errors import UserError
from corpus.config import PairsConfig
from corpus.inference.pairs import NLIPair, PairData, load_pairs
from corpus.records import QARecord
from finetune.leakage import Leakage, find_leakage

_ANSWERS = ("yes", "no")
_UNRELATED_SHARE = 0.5  # pairs with another record's abstract, as a share of the records


@dataclass(frozen=True, slots=True)
class TrainingPairs:
    """The pairs of a run.

    Attributes:
        train: training pairs, including those made from questions.
        dev: dev pairs; empty if the run trains on them.
        labels: the candidate labels.
        answer_pairs: number of training pairs made from questions.
        leakage: premises repeated in other splits.
    """

    train: tuple[NLIPair, ...]
    dev: tuple[NLIPair, ...]
    labels: tuple[str, ...]
    answer_pairs: int
    leakage: Leakage


def read_training_pairs(
    pairs: PairsConfig, answers: Sequence[QARecord] | None, *, setting: str, seed: int, teach_dev: bool = False
) -> TrainingPairs:
    """Read the pairs of a run.

    If ``answers`` is not None, ``answer_pairs`` makes further training pairs of these records, with ``setting`` and
    ``seed``. With ``teach_dev`` the dev pairs become training pairs.

    Raises:
        UserError: a split is missing or empty, all labels are the same, or answer pairs cannot be made.
    """
    train_data, dev_data = load_train_and_dev(pairs)
    generated = [] if answers is None else answer_pairs(answers, pairs.labels, setting=setting, seed=seed)
    taught = dev_data.pairs if teach_dev else ()
    dev = () if teach_dev else dev_data.pairs
    train = (*train_data.pairs, *generated, *taught)
    check_labels([pair.label for pair in train])
    leakage = find_leakage((*train_data.pairs, *taught), dev, pairs)
    return TrainingPairs(train, dev, train_data.labels, len(generated), leakage)


def load_train_and_dev(pairs: PairsConfig) -> tuple[PairData, PairData]:
    """The train and dev splits of ``pairs``.

    Raises:
        UserError: a split is missing or empty, or train and dev have the same pairs.
    """
    train, dev = load_pairs(pairs, "train"), load_pairs(pairs, "dev")
    if train.pairs == dev.pairs:
        raise UserError(
            f"pairs.path is {pairs.path}, with the same pairs for train and dev, and training needs separate ones. Set "
            "pairs.path to a folder and pairs.files to the files in it, or pairs.split_by to the column that divides "
            "the file."
        )
    return train, dev


def nli_prompts(llm: LocalLLM, pairs: Sequence[NLIPair], labels: Sequence[str], family: PromptFamily) -> list[Prompt]:
    """The NLI chain's zero-shot prompts, rendered and tokenised for a model."""
    clean, system = llm.clean, llm.config.system
    return llm.prompts(
        [
            nli_prompt(family, clean(pair.premise).strip(), clean(pair.hypothesis).strip(), labels, system=system)
            for pair in pairs
        ]
    )


def check_labels(labels: Sequence[str]) -> None:
    """Check that the training examples have at least two labels.

    Raises:
        UserError: all have the same label.
    """
    if len(set(labels)) < 2:
        raise UserError(
            f"All {len(labels)} training examples have the label {labels[0]}. Check the training split and its labels; "
            "--limit takes only its first examples."
        )


def answer_pairs(records: Sequence[QARecord], labels: Mapping[str, str], *, setting: str, seed: int) -> list[NLIPair]:
    """Pairs of an abstract and a statement, which is a question with "The answer is yes." or "The answer is no."

    A record's abstract entails its answer and contradicts the opposite answer; if the answer is "maybe", the abstract
    is neutral to yes and no. The abstract of another record is neutral to any answer; half of the records get such a
    pair.

    Args:
        records: question records of the training split; records without a label are skipped.
        labels: ``pairs.labels``, which maps each label in the files to its word in the prompt. Entailment, neutral and
            contradiction must each occur in it, as a label or as a word.
        setting: the setting that asks for these pairs, for error messages.
        seed: random seed of the pairs with another abstract.

    Raises:
        UserError: ``labels`` lacks one of the three NLI labels, or no record has a label.
    """
    labels = {**{word: word for word in labels.values()}, **labels}
    if missing := [label for label in NLI_LABELS if label not in labels]:
        entries = ", ".join(f"{label}: WORD" for label in missing)
        raise UserError(
            f"pairs.labels has no entry for {', '.join(missing)}, which {setting} needs. Add {entries} to it, or set "
            f"{setting} to false."
        )
    labelled = [record for record in records if record.label is not None]
    if not labelled:
        raise UserError(
            f"{setting} is true, but no question of the training split has a label. Choose data with labels, or set "
            f"{setting} to false."
        )
    pairs = [
        NLIPair(
            id=f"{record.id}-{answer}",
            premise=record.context,
            hypothesis=answer_statement(record.question, answer),
            label=labels[_nli_label(record, answer)],
        )
        for record in labelled
        for answer in _ANSWERS
    ]
    rng = random.Random(seed)
    count = len(labelled)
    for index in rng.sample(range(count), round(_UNRELATED_SHARE * count)):
        other_index = rng.randrange(count - 1)
        record, other_record = labelled[index], labelled[other_index + (other_index >= index)]  # never the same record
        answer = rng.choice(_ANSWERS)
        if other_record.context == record.context:  # records about the same abstract
            continue
        pairs.append(
            NLIPair(
                id=f"{record.id}-{answer}-by-{other_record.id}",
                premise=other_record.context,
                hypothesis=answer_statement(record.question, answer),
                label=labels["neutral"],
            )
        )
    return pairs


def _nli_label(record: QARecord, answer: str) -> str:
    if record.label == "maybe":
        return "neutral"
    return "entailment" if record.label == answer else "contradiction"
