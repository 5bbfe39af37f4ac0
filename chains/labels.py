"""Labels from prompts: the most probable label, or the label read from generated text."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from chains.config import Decide
from chains.models.base import LLM, Prompt
from common.errors import UserError
from common.fingerprints import content_key
from common.result_cache import Batches, recall

UNLABELLED = "the generated text names no label"
_UNSCORED = "the server gave no probabilities of the labels: the label was read from what the model wrote"


@dataclass(frozen=True, slots=True)
class Decision:
    """A label, or None where the generated text names none.

    ``scores`` are probabilities over the labels that sum to 1, empty where the label was read from ``output``, the
    generated text. ``reused`` says that the cache had it.
    """

    label: str | None
    scores: dict[str, float]
    output: str | None = None
    notes: tuple[str, ...] = ()
    reused: bool = False


class Decider:
    """Decides between ``labels`` after a prompt.

    Args:
        llm: the model.
        labels: the candidates; scored as they stand, read from generated text without regard to case.
        decide: ``score`` takes the label that the model finds most probable after the prompt, ``generate`` lets it
            write and reads the label out of the text.

    Raises:
        UserError: a label that cannot be read out of generated text, because it is not one plain word.
    """

    def __init__(self, llm: LLM, labels: Sequence[str], decide: Decide) -> None:
        self._llm = llm
        self._labels = tuple(labels)
        self._decide = decide
        self._by_word = {label.lower(): label for label in labels}
        for word, label in self._by_word.items():
            if decide == "generate" and parse_label(word, (word,)) is None:
                raise UserError(
                    f"The label {label!r} is not one plain word, so it cannot be read out of generated text. Map it to "
                    "one with pairs.labels, or set chain.decide to score."
                )
        self.reserve = max(llm.config.max_new_tokens, llm.label_length(labels))
        """How many tokens of the window the answer may take."""

    def decide(self, prompts: Sequence[Prompt]) -> list[Decision | UserError]:
        """A decision, or why the model makes none, for each rendered prompt and its token ids, in order.

        Raises:
            UserError: the model computes no finite probabilities.
        """
        cache = self._llm.cache
        keys = [self._key(text) if cache is not None else "" for text, _ in prompts]
        recalled = recall(cache, keys, lambda places: self._compute([prompts[place] for place in places], places))
        return [
            one.value if isinstance(one.value, UserError) else replace(self._decision(one.value), reused=one.reused)
            for one in recalled
        ]

    def _key(self, prompt: str) -> str:
        model = self._llm.fingerprint
        if self._decide == "generate":
            return content_key(prompt=prompt, most=self.reserve, model=model)
        return content_key(prompt=prompt, labels=self._labels, model=model)

    def _compute(self, prompts: Sequence[Prompt], places: Sequence[int]) -> Batches:
        score = self._decide == "score"
        computed = self._llm.score(prompts, self._labels) if score else self._llm.write(prompts, self.reserve)
        for batch, values in computed:
            yield [places[index] for index in batch], values

    def _decision(self, value: str | Sequence[float | None]) -> Decision:
        if not isinstance(value, str):
            return self._scored(value)
        decision = self._generated(value)
        return decision if self._decide == "generate" else replace(decision, notes=(*decision.notes, _UNSCORED))

    def _scored(self, row: Sequence[float | None]) -> Decision:
        log_likelihoods = [-math.inf if value is None else value for value in row]  # JSON has no infinity
        best = max(log_likelihoods)
        weights = [math.exp(value - best) for value in log_likelihoods]
        scores = {name: weight / sum(weights) for name, weight in zip(self._labels, weights, strict=True)}
        return Decision(self._labels[log_likelihoods.index(best)], scores)

    def _generated(self, output: str) -> Decision:
        label = parse_label(output, tuple(self._by_word))
        notes = () if label is not None else (UNLABELLED,)
        return Decision(None if label is None else self._by_word[label], {}, output, notes)


_LEAD_IN = re.compile(r"^(?:(?:the\s+)?(?:final\s+|short\s+)?answer(?:\s+is)?|reply|response)\s*[:\-]*\s*")
_MARKUP = re.compile(r"[*_`#>\"“”]+")
_WORD = re.compile(r"\w+(?:[-'’]\w+)*")
# Between two labels these make a choice or a list of them, not an answer.
_JOIN = re.compile(r"[\W_]*(?:and|or|nor|to|but)?[\W_]*")
_JOINING = frozenset({"and", "or", "nor", "to", "but"})
# A text that begins with "no" and one of these does not answer the question: "no doubt", "no one", "no clear answer".
_LEAVES_OPEN = frozenset(
    {"answer", "basis", "clear", "conclusion", "conclusions", "consensus", "data", "definite", "definitive", "doubt"}
    | {"idea", "information", "one", "question", "straightforward", "way"}
)


def parse_label(text: str, labels: Sequence[str]) -> str | None:
    """The label that ``text`` decides on, or None where it decides on none or on several.

    Read as words of the first line that has any besides markup and lead-ins such as "Answer:":

    - the first label word decides ("Yes, but no harm was seen" is yes); a label inside a longer word is none
      ("another", "know", "yes-or-no");
    - labels side by side, or joined by and, or, nor, to, but, are a contradiction or a menu ("yes and no");
    - "not" before a label decides nothing ("not yes");
    - "no" directly before another word is a determiner: it decides at the beginning of the text ("No evidence was
      found"), save before words that leave the question open ("no doubt", "no clear answer"), and nowhere else
      ("there is no trial of it");
    - words of doubt that are no label ("not sure", "perhaps") decide nothing, and never mean maybe.

    Args:
        text: what the model generated.
        labels: the candidate labels, in lower case.
    """
    lines = (_LEAD_IN.sub("", _MARKUP.sub(" ", line).strip().lower()) for line in text.splitlines())
    line = next((line for line in lines if _WORD.search(line)), "")
    words = list(_WORD.finditer(line))
    decisive: list[re.Match[str]] = []
    for position, word in enumerate(words):
        if word[0] not in labels or (word[0] == "no" and _is_idle_no(line, words, position)):
            continue
        if position and words[position - 1][0] == "not":
            return None
        decisive.append(word)
    if not decisive:
        return None
    first = decisive[0]
    for second in decisive[1:2]:
        if second[0] != first[0] and _JOIN.fullmatch(line, first.end(), second.start()):
            return None
    return first[0]


def _is_idle_no(line: str, words: Sequence[re.Match[str]], position: int) -> bool:
    """Whether the "no" at ``position`` belongs to the word after it and so answers nothing."""
    if position + 1 == len(words):
        return False
    word, follower = words[position], words[position + 1]
    determiner = line[word.end() : follower.start()].isspace() and follower[0] not in _JOINING
    return determiner and (position > 0 or follower[0] in _LEAVES_OPEN)
