"""The sentence patterns of the sample's abstracts, in families.

A family is a template of one sentence. Slots in braces are filled by :mod:`tools.sample.abstracts`:
``D`` intervention, ``C`` comparator, ``Y`` outcome, ``P`` population, ``cond`` condition, ``n`` per cent, ``k`` weeks,
``N`` patients, ``p`` small P value, ``q`` large P value, and the change words of :mod:`tools.sample.lexicon` in the
finding's direction (``vi vib vt vtb noun comp part``), in the opposite one (``vi_``, ``comp_``), ``same``, ``noeff``,
``unc``.

A random fifth of the families of each kind is held out of all training text.
"""

import random
from typing import Literal

from tools.sample.lexicon import read_data

HELD_OUT_SEED = 2026
HELD_OUT_SHARE = 0.2
PLAIN = 5

Style = Literal["common", "held_out", "plain", "varied"]

FAMILIES: dict[str, tuple[str, ...]] = read_data("patterns.yaml")


def _draw_held_out() -> dict[str, frozenset[str]]:
    rng = random.Random(HELD_OUT_SEED)
    return {
        kind: frozenset(rng.sample(patterns, round(len(patterns) * HELD_OUT_SHARE)))
        for kind, patterns in FAMILIES.items()
    }


HELD_OUT: dict[str, frozenset[str]] = _draw_held_out()


def patterns(kind: str, style: Style = "common") -> tuple[str, ...]:
    """The families of ``kind``: the common ones (also for ``varied``), the held-out ones, or a few common (plain)."""
    chosen = tuple(pattern for pattern in FAMILIES[kind] if (pattern in HELD_OUT[kind]) == (style == "held_out"))
    return chosen[:PLAIN] if style == "plain" else chosen
