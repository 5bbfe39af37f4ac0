"""The sentence patterns of the sample's abstracts.

A pattern has slots in braces, which :mod:`tools.sample.abstracts` fills: ``D`` intervention, ``C`` comparator,
``Y`` outcome, ``P`` population (``P_cap`` capitalised), ``cond`` condition, ``E`` side effect (``E_cap``), ``n`` per
cent, ``big`` per cent above 80, ``k`` weeks, ``N`` patients, ``few`` number word, ``age`` years, ``p`` small P value,
``q`` large P value, and words of :mod:`tools.sample.lexicon`: for the finding's direction ``vi``, ``vib``, ``vt``,
``vtb``, ``noun``, ``comp``, ``part``, for the opposite direction ``vi_``, ``comp_``, and ``same``, ``noeff``, ``unc``.

A random fifth of the patterns of each kind is held out of all training text.
"""

import random
from typing import Literal

from tools.sample.lexicon import read_data

HELD_OUT_SEED = 2026
HELD_OUT_SHARE = 0.2
PLAIN_PATTERNS = 5  # patterns of each kind in the style ``plain``

Style = Literal["common", "held_out", "plain", "varied"]

PATTERNS: dict[str, tuple[str, ...]] = read_data("patterns.yaml")
"""The patterns by kind, such as ``effect`` and ``question``."""


def _draw_held_out() -> dict[str, frozenset[str]]:
    rng = random.Random(HELD_OUT_SEED)
    return {
        kind: frozenset(rng.sample(patterns, round(len(patterns) * HELD_OUT_SHARE)))
        for kind, patterns in PATTERNS.items()
    }


HELD_OUT: dict[str, frozenset[str]] = _draw_held_out()


def select_patterns(kind: str, style: Style = "common") -> tuple[str, ...]:
    """The patterns of ``kind`` in a style: the held-out ones, or those not held out, for ``plain`` the first few."""
    selected = tuple(pattern for pattern in PATTERNS[kind] if (pattern in HELD_OUT[kind]) == (style == "held_out"))
    return selected[:PLAIN_PATTERNS] if style == "plain" else selected
