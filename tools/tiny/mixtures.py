"""The mixture of readings in each stage of medground-tiny's training."""

from dataclasses import dataclass
from typing import Literal

from tools.sample.patterns import Style

Stage = Literal["first", "second", "third"]
# The answer to a question is the label (asked), the reported change and the label (reasoned), a phrase (free) or a
# sentence of the text (quoted).
KINDS = (
    "asked_abstract",
    "reasoned_abstract",
    "free_abstract",
    "quoted_abstract",
    "asked_note",
    "reasoned_note",
    "free_note",
    "quoted_note",
    "conversation",
    "no_context",
    "plain",
    "asked_direction",
    "compared",
)


@dataclass(frozen=True, slots=True)
class Mixture:
    """The readings of one stage.

    Attributes:
        shares: weights of the kinds of reading, in the order of ``KINDS``.
        early_shares: ``shares`` while ``easiness`` is 1; None if they are the same.
        style: style of findings and questions.
        finding_counts: weights of 1, 2 and 3 findings in an abstract.
        finding_kinds: weights of effects, null findings and unclear findings.
        same_direction: share of the questions that ask about the reported direction.
        questions: number of questions about an abstract's findings.
        given_answers: the answers that "Is it true that the answer is ...?" asks about; empty for no such questions.
    """

    shares: tuple[int, ...]
    early_shares: tuple[int, ...] | None = None
    style: Style = "varied"
    finding_counts: tuple[int, int, int] = (50, 40, 10)
    finding_kinds: tuple[int, int, int] = (62, 25, 13)
    same_direction: float = 0.62
    questions: int = 5
    given_answers: tuple[str, ...] = ("yes", "no")


MIXTURES: dict[Stage, Mixture] = {
    "first": Mixture(
        shares=(36, 2, 5, 8, 28, 2, 4, 6, 4, 2, 3, 0, 0),
        early_shares=(22, 3, 12, 22, 14, 3, 8, 12, 1, 1, 4, 0, 0),
        style="common",
        finding_counts=(68, 26, 6),
        finding_kinds=(55, 30, 15),
        same_direction=0.78,
        questions=3,
        given_answers=(),
    ),
    "second": Mixture(shares=(46, 6, 8, 6, 16, 2, 2, 3, 4, 2, 2, 3, 0)),
    "third": Mixture(
        shares=(48, 2, 6, 6, 14, 1, 1, 2, 3, 2, 1, 2, 12),
        finding_kinds=(57, 29, 14),
        same_direction=0.85,
        given_answers=("yes", "yes", "yes", "yes", "no"),
    ),
}
