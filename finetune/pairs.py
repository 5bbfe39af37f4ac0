"""Premise-hypothesis pairs made of labelled questions, so that a model learns to verify answers."""

import random
from collections.abc import Mapping, Sequence

from chains.prompts import answer_statement
from common.errors import UserError
from corpus.nli import NLIPair
from corpus.records import QARecord

ROLES = ("entailment", "neutral", "contradiction")
_ANSWERS = ("yes", "no")


def answer_pairs(
    records: Sequence[QARecord], labels: Mapping[str, str], *, setting: str, others: float = 0.5, seed: int = 1
) -> list[NLIPair]:
    """Pairs of an abstract and the statement that a question's answer is "yes" or "no".

    The answer that the record has follows from its own abstract, the opposite one is contradicted by it, and where the
    record's answer is "maybe" both are left open. Another record's abstract leaves any answer open.

    Args:
        records: question records of the training split; those without a label are passed over.
        labels: the words for entailment, neutral and contradiction (``pairs.labels``).
        setting: the dotted key that asks for these pairs, named in errors.
        others: how many pairs with another record's abstract are added, as a share of the records.
        seed: of the choice of those.

    Raises:
        UserError: ``labels`` lacks a word for one of the three, or no record is labelled.
    """
    if missing := [role for role in ROLES if role not in labels]:
        raise UserError(
            f"{setting} needs a word for {', '.join(missing)} in pairs.labels. Name it there, or set {setting} to "
            "false."
        )
    labelled = [record for record in records if record.label is not None]
    if not labelled:
        raise UserError(
            f"{setting} is true, but there is no labelled question in the training split of the data. Name data that "
            f"has some, or set {setting} to false."
        )
    pairs = [
        NLIPair(
            id=f"{record.id}-{answer}",
            premise=record.context,
            hypothesis=answer_statement(record.question, answer),
            label=labels[_role(record, answer)],
        )
        for record in labelled
        for answer in _ANSWERS
    ]
    rng = random.Random(seed)
    for record in rng.sample(labelled, round(others * len(labelled))) if len(labelled) > 1 else []:
        other = rng.choice([one for one in labelled if one.id != record.id])
        answer = rng.choice(_ANSWERS)
        pairs.append(
            NLIPair(
                id=f"{record.id}-{answer}-by-{other.id}",
                premise=other.context,
                hypothesis=answer_statement(record.question, answer),
                label=labels["neutral"],
            )
        )
    return pairs


def _role(record: QARecord, answer: str) -> str:
    if record.label == "maybe":
        return "neutral"
    return "entailment" if record.label == answer else "contradiction"
