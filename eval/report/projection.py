"""t-SNE maps of embedded questions and abstracts, cached as CSV."""

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from common.atomic_write import write_whole
from common.fingerprints import content_key
from eval.results import writing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

MIN_PAIRS = 3  # fewer form no pattern
MAX_PAIRS = 2_000  # more take minutes, and their points overlap
_SEED = 20_240_501
_PERPLEXITY = 30.0
_CSV_HEADER = ["id", "question_x", "question_y", "abstract_x", "abstract_y"]
_KEY_PREFIX = "# made from "  # on the first line of the cache file, before the hash of texts and settings


@dataclass(frozen=True, slots=True)
class MapPair:
    """A question and its abstract; ``label`` is the data's answer, if there is one."""

    id: str
    question: str
    abstract: str
    label: str | None


@dataclass(frozen=True)
class EmbeddingMap:
    """A two-dimensional map of embedded questions and abstracts.

    ``name`` is the embedder's name; if the report has several data sets, the data's name follows. ``model`` is the
    embedder's model. ``left_out`` is the number of pairs that are not on the map. ``positions`` holds for each pair x
    and y of the question, then x and y of the abstract, all from 0 to 1.
    """

    name: str
    model: str
    data: str
    pairs: Sequence[MapPair] = field(repr=False)
    left_out: int
    positions: Sequence[tuple[float, float, float, float]] = field(repr=False)

    @property
    def caption(self) -> str:
        """Embedder, data, number of pairs and parameters."""
        left_out = f"; {self.left_out:,} more are left out" if self.left_out else ""
        return (
            f"{self.name} ({self.model}) over {self.data}: t-SNE by cosine of {len(self.pairs):,} questions and their "
            f"abstracts, perplexity {_perplexity(2 * len(self.pairs)):g}, seed {_SEED}{left_out}."
        )

    @property
    def file_name(self) -> str:
        """Stem of the names of the map's files."""
        return map_file_name(self.name)


def map_file_name(name: str) -> str:
    """Stem of the file names of the map ``name``."""
    return "tsne_" + re.sub(r"[^\w.-]+", "-", name)


def project(
    pairs: Sequence[MapPair],
    embed: Callable[[], "tuple[Vectors, Vectors]"],
    cache: Path,
    **settings: object,
) -> list[tuple[float, float, float, float]]:
    """The pairs' positions (see ``EmbeddingMap``), from ``cache`` if it matches, else computed and cached.

    They are computed by t-SNE (van der Maaten and Hinton 2008) of questions and abstracts together, by cosine distance,
    with a fixed seed.

    Args:
        pairs: ``MIN_PAIRS`` to ``MAX_PAIRS``.
        embed: returns the vectors of questions and abstracts, each of shape (pairs, dimensions).
        cache: a CSV file.
        settings: everything besides the texts that determines the vectors, in JSON types.

    Raises:
        UserError: ``cache`` cannot be written, or ``embed`` fails.
    """
    texts = [[pair.id, pair.question, pair.abstract] for pair in pairs]
    key = content_key(texts=texts, seed=_SEED, perplexity=_PERPLEXITY, **settings)
    if (cached := _read(cache, key, pairs)) is not None:
        return cached
    positions = _compute_positions(*embed())
    text = StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_CSV_HEADER)
    rows.writerows([pair.id, *position] for pair, position in zip(pairs, positions, strict=True))
    with writing(cache):
        write_whole(cache, f"{_KEY_PREFIX}{key}\n{text.getvalue()}".encode("utf-8", "replace").decode("utf-8"))
    return positions


def _perplexity(points: int) -> float:
    """The perplexity: 30 or, for few points, the largest that t-SNE allows. This is about a third of their number."""
    return min(_PERPLEXITY, round((points - 1) / 3, 1))


def _compute_positions(questions: "Vectors", abstracts: "Vectors") -> list[tuple[float, float, float, float]]:
    import numpy as np
    from sklearn.manifold import TSNE

    vectors = np.concatenate([questions, abstracts]).astype(np.float64)
    varied = bool(np.ptp(vectors, axis=0).any())  # constant vectors have no principal components
    layout = TSNE(
        metric="cosine", init="pca" if varied else "random", perplexity=_perplexity(len(vectors)), random_state=_SEED
    )
    points = layout.fit_transform(vectors).astype(np.float64)
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    points = np.round((points - low) / np.where(span > 0, span, 1), 4)
    rows = np.concatenate([points[: len(questions)], points[len(questions) :]], axis=1)  # a question and its abstract
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in rows]


def _read(cache: Path, key: str, pairs: Sequence[MapPair]) -> list[tuple[float, float, float, float]] | None:
    """The cached positions; None if the file is absent, damaged, or made from other texts or settings."""
    try:
        first, _, rest = cache.read_text(encoding="utf-8").partition("\n")
        rows = list(csv.reader(StringIO(rest)))
        if first != f"{_KEY_PREFIX}{key}" or rows[:1] != [_CSV_HEADER] or len(rows) != len(pairs) + 1:
            return None
        return [(float(a), float(b), float(c), float(d)) for _, a, b, c, d in rows[1:]]
    except (OSError, ValueError, csv.Error):
        return None
