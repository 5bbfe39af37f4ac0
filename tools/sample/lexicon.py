"""The words of the sample: invented drugs, real conditions and outcomes, and the vocabulary of change.

Drug names are composed of syllables and mean nothing; any likeness to a real product is chance.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

Direction = Literal["down", "up"]


@dataclass(frozen=True, slots=True)
class ChangeWords:
    """The words for one direction of change, by grammatical form: ``fell``, ``fall``, ``reduced``, ``reduce``, ..."""

    intransitive: tuple[str, ...]
    intransitive_base: tuple[str, ...]
    transitive: tuple[str, ...]
    transitive_base: tuple[str, ...]
    noun: tuple[str, ...]
    comparative: tuple[str, ...]
    participle: tuple[str, ...]


def read_data(name: str) -> dict[str, Any]:
    """The content of a YAML file beside this module, with lists as tuples."""
    content = yaml.safe_load(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return {key: _with_tuples(value) for key, value in content.items()}


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


_WORDS = read_data("lexicon.yaml")
CHANGE: dict[Direction, ChangeWords] = {
    direction: ChangeWords(**forms) for direction, forms in _WORDS["change"].items()
}
SAME: tuple[str, ...] = _WORDS["same"]
NO_EFFECT: tuple[str, ...] = _WORDS["no_effect"]
UNCERTAIN: tuple[str, ...] = _WORDS["uncertain"]
THERAPIES: tuple[str, ...] = _WORDS["therapies"]
COMPARATORS: tuple[str, ...] = _WORDS["comparators"]
CONDITIONS: tuple[str, ...] = _WORDS["conditions"]
GROUPS: tuple[str, ...] = _WORDS["groups"]
OUTCOMES: tuple[str, ...] = _WORDS["outcomes"]
ADVERSE: tuple[str, ...] = _WORDS["adverse"]


def drug_name(rng: random.Random) -> str:
    """An invented drug name of three or four syllables, such as ``lorafenib``."""
    onsets, middles, suffixes = _WORDS["onsets"], _WORDS["middles"], _WORDS["suffixes"]
    second_middle = "".join(rng.choice(middles) for _ in range(rng.choice((0, 1, 1, 1))))
    name: str = rng.choice(onsets) + rng.choice(middles) + second_middle + rng.choice(suffixes)
    return name
