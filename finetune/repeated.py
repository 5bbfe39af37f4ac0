"""Training pairs whose premises stand in the splits that measure what was learned."""

from collections.abc import Mapping, Sequence

from common.errors import UserError
from corpus.config import PairsConfig
from corpus.nli import NLIPair, load_pairs, repeated_premises

Repeated = Mapping[str, list[str] | None]
"""By split the premises that stand among the training pairs too; None where there is no such split."""


def repeated_by_split(taught: Sequence[NLIPair], dev: Sequence[NLIPair], pairs: PairsConfig) -> Repeated:
    """The premises of dev and of the test split of ``pairs``, all of it, that are taught."""
    try:
        test = load_pairs(pairs.model_copy(update={"limit": None}), "test").pairs
    except UserError:  # training needs no test split
        return {"dev": repeated_premises(taught, dev), "test": None}
    return {"dev": repeated_premises(taught, dev), "test": repeated_premises(taught, test)}


def warning(repeated: Repeated) -> str | None:
    """What must be known of figures on splits that repeat what was taught; None where none does."""
    found = {split: texts for split, texts in repeated.items() if texts}
    if not found:
        return None
    counts = " and ".join(f"{len(texts)} of the {split} split's" for split, texts in found.items())
    return f"Premises of the training pairs stand in other splits too: {counts}. Their figures flatter."
