"""Premises of the training pairs that occur in the dev or test split too."""

from collections.abc import Mapping, Sequence

from common.errors import UserError
from corpus.config import PairsConfig
from corpus.inference.pairs import NLIPair, load_pairs, repeated_premises

Leakage = Mapping[str, list[str] | None]
"""The repeated premises by split; None for a split that cannot be read."""


def find_leakage(train: Sequence[NLIPair], dev: Sequence[NLIPair], pairs: PairsConfig) -> Leakage:
    """Find the premises of ``train`` that occur in ``dev`` or in the whole test split of ``pairs``."""
    try:
        test = load_pairs(pairs.model_copy(update={"limit": None}), "test").pairs
    except UserError:  # training needs no test split
        return {"dev": repeated_premises(train, dev), "test": None}
    return {"dev": repeated_premises(train, dev), "test": repeated_premises(train, test)}


def leakage_warning(leakage: Leakage) -> str | None:
    """A warning that the figures of splits with repeated premises are too high; None if no premise is repeated."""
    repeated = {split: premises for split, premises in leakage.items() if premises}
    if not repeated:
        return None
    counts = ", ".join(f"{len(premises)} in {split}" for split, premises in repeated.items())
    return f"Premises of the training pairs are repeated in other splits ({counts}), whose figures are too high."
