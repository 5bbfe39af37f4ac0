"""Label decisions: the most probable label of a ``LabelScorer``, or the label parsed from generated text."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from langchain_core.output_parsers import BaseOutputParser
from langchain_core.runnables import Runnable, RunnableConfig

from chains.config import Decide
from chains.models.base import LLM, LabelScorer, Prompt, TooLongError
from chains.models.reasoning import answer_text
from common.errors import UserError
from common.fingerprints import content_key
from common.result_cache import Batches, get_or_compute

UNLABELLED = "the generated text names no label"
_UNSCORED = "the model gives no label probabilities: the label was parsed from its text"
_BATCH_SIZE = 64  # prompts per batch of generation; each finished batch is cached


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision between labels.

    Attributes:
        label: None if the generated text has none.
        scores: probabilities of the labels, which sum to 1; empty if the label was parsed from ``output``.
        output: the generated text.
        reused: whether the decision came from the cache.
    """

    label: str | None
    scores: dict[str, float]
    output: str | None = None
    notes: tuple[str, ...] = ()
    reused: bool = False


class LabelParser(BaseOutputParser[Decision]):
    """Parses a label from generated text, ignoring case (``parse_label``)."""

    labels: tuple[str, ...]

    def parse(self, text: str) -> Decision:
        """The decision in ``text``; its label is None if ``text`` decides on none."""
        by_word = {label.lower(): label for label in self.labels}
        word = parse_label(text, tuple(by_word))
        return Decision(None, {}, text, (UNLABELLED,)) if word is None else Decision(by_word[word], {}, text)


class Case(NamedTuple):
    """A rendered prompt, its template variables, and the LangChain config of its run."""

    prompt: Prompt
    inputs: Any
    config: RunnableConfig | None = None


class Decider:
    """Decides between ``labels`` after a prompt.

    A model that is not a ``LabelScorer`` generates text, and a note reports that labels are parsed.

    Args:
        llm: the model.
        template: the prompt, from a case's ``inputs`` to messages.
        labels: the candidates. Parsing ignores case, scoring does not.
        decide: ``score`` takes the most probable label after the prompt, ``generate`` parses generated text.

    Attributes:
        reserve: maximum number of tokens of an answer; for local scoring, that of the longest label.

    Raises:
        UserError: labels must be parsed, and one of them is not a plain word.
    """

    def __init__(self, llm: LLM, template: Runnable[Any, Any], labels: Sequence[str], decide: Decide) -> None:
        self._llm = llm
        self._template = template
        self._labels = tuple(labels)
        self._parser = LabelParser(labels=self._labels)
        self._scorer = llm if decide == "score" and isinstance(llm, LabelScorer) else None
        self._decide = decide
        for label in () if self._scorer else labels:
            if self._parser.parse(label).label is None:
                raise UserError(
                    f"The label {label!r} is not a plain word, so it cannot be parsed from generated text. Map it to a "
                    "word in pairs.labels, or set chain.decide to score."
                )
        longest = llm.label_length(labels)
        # A server that returns no scores generates text instead.
        never_generates = self._scorer is not None and llm.config.kind != "openai"
        self.reserve = longest if never_generates else max(llm.config.max_new_tokens, longest)

    @property
    def chain(self) -> Runnable[Any, Decision]:
        """The composition ``template | model | parser`` that generates text."""
        chain: Runnable[Any, Decision] = self._template | self._llm.writer(self.reserve) | self._parser
        return chain

    def decide(self, cases: Sequence[Case]) -> list[Decision | UserError]:
        """A decision or an error for each case, in order."""
        cache = self._llm.cache
        keys = [self._key(case.prompt[0]) if cache is not None else "" for case in cases]
        results = get_or_compute(cache, keys, lambda indices: self._compute(cases, indices))
        return [
            one.value if isinstance(one.value, UserError) else replace(self._decision(one.value), reused=one.reused)
            for one in results
        ]

    def _key(self, prompt: str) -> str:
        model = self._llm.fingerprint
        if self._scorer is None:
            return content_key(prompt=prompt, most=self.reserve, model=model)
        return content_key(prompt=prompt, labels=self._labels, model=model)

    def _compute(self, cases: Sequence[Case], indices: Sequence[int]) -> Batches:
        """The scores or the generated texts of the cases with ``indices``, in batches."""
        chosen = [cases[index] for index in indices]
        scored = self._scorer.score([case.prompt for case in chosen], self._labels) if self._scorer else None
        for batch, values in self._generated(chosen) if scored is None else scored:
            yield [indices[number] for number in batch], values

    def _generated(self, cases: Sequence[Case]) -> Batches:
        """The generated text of each case, or the error if its prompt is too long; other errors are raised."""
        chain = self.chain
        for start in range(0, len(cases), _BATCH_SIZE):
            batch = cases[start : start + _BATCH_SIZE]
            inputs, configs = [case.inputs for case in batch], [case.config or {} for case in batch]
            values: list[str | TooLongError | None] = []
            for decision in chain.batch(inputs, configs, return_exceptions=True):
                if isinstance(decision, Exception) and not isinstance(decision, TooLongError):
                    raise decision
                values.append(decision if isinstance(decision, TooLongError) else decision.output)
            yield range(start, start + len(batch)), values

    def _decision(self, value: str | Sequence[float | None]) -> Decision:
        """The decision that a result leads to; ``value`` is a generated text, or the labels' log-likelihoods."""
        if not isinstance(value, str):
            return self._scored(value)
        decision = self._parser.parse(value)
        return decision if self._decide == "generate" else replace(decision, notes=(*decision.notes, _UNSCORED))

    def _scored(self, row: Sequence[float | None]) -> Decision:
        log_likelihoods = [-math.inf if value is None else value for value in row]  # JSON has no infinity
        best = max(log_likelihoods)
        weights = [math.exp(value - best) for value in log_likelihoods]
        scores = {name: weight / sum(weights) for name, weight in zip(self._labels, weights, strict=True)}
        return Decision(self._labels[log_likelihoods.index(best)], scores)


_LEAD_IN = re.compile(r"^(?:(?:the\s+)?(?:final\s+|short\s+)?answer(?:\s+is)?|reply|response)\s*[:\-]*\s*")
_MARKUP = re.compile(r"[*_`#>\"“”]+")
_WORD = re.compile(r"\w+(?:[-'’]\w+)*")
_CONJUNCTIONS = ("and", "or", "nor", "to", "but")
# The text between two labels that form a list or a choice, which is not an answer: "yes and no", "yes/no".
_JOIN = re.compile(rf"[\W_]*(?:{'|'.join(_CONJUNCTIONS)})?[\W_]*")
# After "no" at the beginning of a text, these words do not answer: "no doubt", "no one", "no clear answer".
_NO_ANSWER_AFTER_NO = frozenset(
    {"answer", "basis", "clear", "conclusion", "conclusions", "consensus", "data", "definite", "definitive", "doubt"}
    | {"idea", "information", "one", "question", "straightforward", "way"}
)
_NEGATIONS = ("no", "not", "never", "cannot", "without", "neither")
# Words between a negation and the label that it negates: "no clear contradiction", "cannot be supported".
_BETWEEN = frozenset(
    {"a", "an", "any", "be", "been", "clear", "clearly", "completely", "direct", "directly", "entirely", "exactly"}
    | {"explicitly", "fully", "necessarily", "really", "say", "strictly", "the"}
)
_CLAUSE_ENDS = frozenset(",.;:!?…–—-")  # "It does not. No.", "No - contradiction"


def parse_label(text: str, labels: Sequence[str]) -> str | None:
    """The label on which ``text`` decides, or None if it decides on none or on several.

    Reasoning before the answer is skipped; if the reasoning has no end, there is no answer. The rules apply to the
    first line of the answer that has words besides markup and lead-ins such as "Answer:". ``labels`` are in lower case.

    - The first label decides ("Yes, but no harm was seen" is yes); labels inside longer words do not count ("another",
      "know", "yes-or-no").
    - Labels side by side, or joined by and, or, nor, to or but, are a contradiction or a choice ("yes and no").
    - A negated label decides nothing ("not yes", "isn't supported", "no contradiction"), nor does a label after it. If
      a label occurs both negated and not negated, it is a choice ("supported or not supported").
    - "no" directly before another word is a determiner: it decides only at the beginning of the text ("No evidence was
      found"), and not before words that leave the question open ("no doubt", "no clear answer").
    - Words of doubt ("not sure", "perhaps") decide nothing; they do not mean maybe.
    """
    answer = answer_text(text)
    if answer is None:
        return None
    lines = (_LEAD_IN.sub("", _MARKUP.sub(" ", line).strip().lower()) for line in answer.splitlines())
    line = next((line for line in lines if _WORD.search(line)), "")
    words = list(_WORD.finditer(line))
    decisive: list[re.Match[str]] = []
    for position, word in enumerate(words):
        if word[0] not in labels or (word[0] == "no" and _is_determiner_no(line, words, position)):
            continue
        if position and words[position - 1][0] == word[0]:  # "No no no"
            continue
        negation = _negation(line, words, position)
        if negation is None or negation in decisive:
            decisive.append(word)
        elif word[0] in [label[0] for label in decisive]:
            return None
        else:
            break
    if not decisive:
        return None
    first, second = decisive[0], decisive[min(1, len(decisive) - 1)]
    joined = second[0] != first[0] and _JOIN.fullmatch(line, first.end(), second.start())
    return None if joined else first[0]


def _negation(line: str, words: Sequence[re.Match[str]], position: int) -> re.Match[str] | None:
    """The negation that precedes the label at ``position`` in its clause."""
    before = position - 1
    while before >= 0 and words[before][0] in _BETWEEN:
        before -= 1
    if before < 0:
        return None
    negation = words[before]
    if set(line[negation.end() : words[position].start()]) & _CLAUSE_ENDS:
        return None
    return negation if negation[0] in _NEGATIONS or negation[0].endswith(("n't", "n’t")) else None


def _is_determiner_no(line: str, words: Sequence[re.Match[str]], position: int) -> bool:
    """Whether the "no" at ``position`` is a determiner of the next word, and so is no answer."""
    if position + 1 == len(words):
        return False
    word, follower = words[position], words[position + 1]
    is_before_word = line[word.end() : follower.start()].isspace() and follower[0] not in _CONJUNCTIONS
    return is_before_word and (position > 0 or follower[0] in _NO_ANSWER_AFTER_NO)
