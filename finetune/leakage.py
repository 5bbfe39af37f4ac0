"""Premises of the training pairs that occur in the dev or test split too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from common.errors import UserError
from corpus.config import PairsConfig
from corpus.inference.pairs import NLIPair, load_pairs, repeated_premises


@dataclass(frozen=True, slots=True)
class Leakage:
    """Premises of the training pairs in other splits.

    Attributes:
        repeated_premises: the premises by split; None for a split that cannot be read.
        search_error: why the test split is not searched, as a message; None if it is searched.
    """

    repeated_premises: Mapping[str, list[str] | None] = field(default_factory=dict)
    search_error: str | None = None


def find_leakage(train: Sequence[NLIPair], dev: Sequence[NLIPair], pairs: PairsConfig) -> Leakage:
    """Find the premises of ``train`` that occur in ``dev`` or in the whole test split of ``pairs``."""
    repeated_in_dev = repeated_premises(train, dev)
    try:
        test = load_pairs(pairs.model_copy(update={"limit": None}), "test").pairs
    except UserError as error:  # no reason to stop, since training needs no test split
        message = f"The test split is not searched for premises of the training pairs. {error}"
        return Leakage({"dev": repeated_in_dev, "test": None}, message)
    return Leakage({"dev": repeated_in_dev, "test": repeated_premises(train, test)})


def leakage_warning(premises_by_split: Mapping[str, list[str] | None]) -> str | None:
    """A warning that the figures of splits with repeated premises are too high; None if no premise is repeated."""
    counts = ", ".join(f"{len(premises)} in {split}" for split, premises in premises_by_split.items() if premises)
    if not counts:
        return None
    return f"Premises of the training pairs are repeated in other splits ({counts}), whose figures are too high."
