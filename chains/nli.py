"""Natural language inference with a causal model: how does a hypothesis relate to a premise?

An adapter that was trained for it (``medground train qlora``) is part of the model; zero-shot and few-shot differ only
in the examples that stand before the pair.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import BaseModel, ConfigDict, Field

from chains.config import Decide, Family, check_choices
from chains.labels import Case, Decider, Decision
from chains.models.base import LLM, TooLongError, as_llm
from chains.prompts import Shot, as_dicts, nli_template, shot_turns
from common.errors import UserError
from corpus.inference.pairs import NLIPair, apart_from
from corpus.sentences import sentence_spans, word_spans

Pair = tuple[str, str]
_SHOT_SEED = 11


class Judgement(BaseModel):
    """How a hypothesis relates to a premise.

    ``label`` is None where the generated text names none; ``label_scores`` are probabilities that sum to 1, empty
    where the label was read from generated text. A premise longer than the model's window is judged in parts, and
    this is the judgement of the part that decided. ``reused`` says that a cache of earlier results had all parts.
    """

    model_config = ConfigDict(frozen=True)

    label: str | None
    label_scores: dict[str, float] = {}
    prompt: str | None = None
    output: str | None = None
    notes: tuple[str, ...] = ()
    reused: bool = Field(default=False, exclude=True, repr=False)


class NLIModel(Runnable[Mapping[str, str], Judgement], ABC):
    """A LangChain ``Runnable`` from ``{"premise": ..., "hypothesis": ...}`` to a ``Judgement``; ``batch`` is one pass.

    An input without the two texts raises ``UserError``, or is returned as one where ``return_exceptions`` is set.

    Attributes:
        labels: the candidate labels.
    """

    labels: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Changes with whatever can change the judgement of one prompt; empty where that is not known."""
        return ""

    @abstractmethod
    def judge(self, pairs: Sequence[Pair]) -> list[Judgement | UserError]:
        """A judgement, or what was wrong, for each (premise, hypothesis), in order; all in one pass."""

    def invoke(self, input: Mapping[str, str], config: RunnableConfig | None = None, **kwargs: Any) -> Judgement:
        """Judge one pair."""
        return self._call_with_config(self._one, input, config, **kwargs)

    def batch(
        self,
        inputs: list[Mapping[str, str]],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[Judgement]:
        """Judge many pairs in one pass."""
        return self._batch_with_config(self._many, inputs, config, return_exceptions=return_exceptions, **kwargs)

    def _one(self, input: Mapping[str, str]) -> Judgement:
        judgement = self._many([input])[0]
        if isinstance(judgement, Exception):
            raise judgement
        return judgement

    def _many(self, inputs: list[Mapping[str, str]]) -> list[Exception | Judgement]:
        read = [_read(input) for input in inputs]
        judged = iter(self.judge([pair for pair in read if not isinstance(pair, UserError)]))
        return [pair if isinstance(pair, UserError) else next(judged) for pair in read]


def _read(input: object) -> Pair | UserError:
    fields: Mapping[object, object] = input if isinstance(input, Mapping) else {}
    texts = []
    for name in ("premise", "hypothesis"):
        text = fields.get(name)
        if not isinstance(text, str) or not text.strip():
            return UserError(f'A pair needs a {name}: give {{"premise": text, "hypothesis": text}}.')
        texts.append(text)
    return texts[0], texts[1]


def nli_chain(
    llm: LLM | Runnable[Any, Any],
    labels: Sequence[str] = ("entailment", "neutral", "contradiction"),
    *,
    shots: Sequence[Shot] = (),
    decide: Decide = "score",
    prompt_family: Family = "auto",
    system: str | None = None,
) -> "NLIChain":
    """A chain that says how a hypothesis relates to a premise.

    Args:
        llm: any LangChain chat model or LLM, or a model of ``chains.models.make_llm``.
        labels: the candidate labels, two or more.
        shots: examples to show before each pair, see ``draw_shots``; of those that do not fit the window the last
            are left out, and the judgement's notes say so.
        decide: score the labels, or let the model write and read the label out of the text.
        prompt_family: whose wording the prompt has; ``auto`` goes by the model.
        system: a system text; by default the model's own setting.

    Raises:
        UserError: fewer than two labels, a label that must be parsed and is not a plain word, or an
            argument of another kind.
    """
    model = as_llm(llm)
    check_choices(decide=(decide, Decide), prompt_family=(prompt_family, Family))
    if len(set(labels)) < 2:
        raise UserError(f"A choice needs two labels or more; there is {', '.join(labels) or 'none'}.")
    return NLIChain(model, tuple(dict.fromkeys(labels)), tuple(shots), decide, prompt_family, system)


def draw_shots(
    train: Sequence[NLIPair],
    labels: Sequence[str],
    k: int,
    *,
    asked: Sequence[NLIPair] = (),
    seed: int = _SHOT_SEED,
) -> list[Shot]:
    """``k`` examples of each label, drawn with ``seed`` from the training pairs; label by label in turn.

    A pair whose premise is one of ``asked``, the pairs that a model is measured on, is never drawn: it would show the
    model the answer.

    Raises:
        UserError: a label has fewer than ``k`` such training pairs.
    """
    rng = random.Random(seed)
    apart = apart_from(asked, train)
    drawn: list[list[Shot]] = []
    for label in labels:
        of_label = [pair for pair in apart if pair.label == label]
        if len(of_label) < k:
            raise UserError(
                f"{k} examples of each label were asked for; {label} has {len(of_label)} training pairs"
                + (" whose premise is not among those to judge" if len(apart) < len(train) else "")
                + ". Set prompt.shots lower, or name a folder in pairs.path and a larger file in pairs.files.train."
            )
        drawn.append([Shot(pair.premise, pair.hypothesis, pair.label) for pair in rng.sample(of_label, k)])
    return [shot for group in zip(*drawn, strict=True) for shot in group]


class NLIChain(NLIModel):
    """See ``nli_chain``."""

    def __init__(
        self,
        llm: LLM,
        labels: tuple[str, ...],
        shots: tuple[Shot, ...],
        decide: Decide,
        prompt_family: Family,
        system: str | None,
    ) -> None:
        self.labels = labels
        self._llm = llm
        self._clean = llm.clean
        self._shots = [Shot(self._clean(s.premise), self._clean(s.hypothesis), s.label) for s in shots]
        self._family = llm.family(prompt_family)
        self._template = nli_template(self._family, labels, llm.config.system if system is None else system)
        self._decider = Decider(llm, self._template, labels, decide)

    @property
    def fingerprint(self) -> str:
        """That of the language model."""
        return self._llm.fingerprint

    def judge(self, pairs: Sequence[Pair]) -> list[Judgement | UserError]:
        """Render all, split the premises that do not fit, and put all through the model in batches of like length."""
        cleaned = [(self._clean(premise).strip(), self._clean(hypothesis).strip()) for premise, hypothesis in pairs]
        parts: list[tuple[int, Case, int]] = []  # pair, its prompt, shots in it
        judged: dict[int, Judgement | UserError] = {}
        prompts = self._render(cleaned, len(self._shots))
        for index, (pair, case) in enumerate(zip(cleaned, prompts, strict=True)):
            if self._fits(case):
                parts.append((index, case, len(self._shots)))
                continue
            try:
                parts.extend((index, *part) for part in self._shortened(pair))
            except UserError as error:
                judged[index] = error
        decisions = self._decider.decide([case for _, case, _ in parts])
        by_pair: dict[int, list[tuple[Decision, str, int]]] = {}
        for (index, case, shots), decision in zip(parts, decisions, strict=True):
            if isinstance(decision, UserError):
                judged[index] = decision
            else:
                by_pair.setdefault(index, []).append((decision, case.prompt[0], shots))
        for index, found in by_pair.items():
            if index in judged:
                continue
            decision, text, shots = max(found, key=lambda part: decisiveness(part[0].label, part[0].scores))
            judged[index] = Judgement(
                label=decision.label,
                label_scores=decision.scores,
                prompt=text,
                output=decision.output,
                notes=(*self._notes(len(found), shots), *decision.notes),
                reused=all(part.reused for part, _, _ in found),
            )
        return [judged[index] for index in range(len(pairs))]

    def _render(self, pairs: Sequence[Pair], shots: int) -> list[Case]:
        turns = shot_turns(self._family, self.labels, self._shots[:shots])
        inputs = [{"premise": premise, "hypothesis": hypothesis, "shots": turns} for premise, hypothesis in pairs]
        prompts = self._llm.prompts([as_dicts(self._template.format_messages(**one)) for one in inputs])
        return [Case(prompt, one) for prompt, one in zip(prompts, inputs, strict=True)]

    def _fits(self, case: Case) -> bool:
        return self._llm.window is None or self._llm.length(case.prompt) + self._decider.reserve <= self._llm.window

    def _shortened(self, pair: Pair) -> list[tuple[Case, int]]:
        """With as many shots as fit; without any in parts of whole sentences, each as long as fits.

        A sentence that does not fit is split at words.
        """
        for shots in range(len(self._shots) - 1, -1, -1):
            case = self._render([pair], shots)[0]
            if self._fits(case):
                return [(case, shots)]
        premise, hypothesis = pair
        parts: list[tuple[Case, int]] = []
        start = 0
        spans = sentence_spans(premise) or [(0, 0)]
        in_words = False
        while spans:
            kept = 0
            for _, end in spans:
                case = self._render([(premise[start:end].strip(), hypothesis)], 0)[0]
                if not self._fits(case):
                    break
                if kept:
                    parts.pop()
                parts.append((case, 0))
                kept += 1
            if not kept and not in_words and (words := word_spans(premise, *spans[0])):
                spans, in_words = [*words, *spans[1:]], True
                continue
            in_words = False
            if not kept:
                raise TooLongError(
                    "The pair is too long: a word of the premise and the hypothesis take "
                    f"{self._llm.length(case.prompt)} tokens, and the model's window is {self._llm.window}. Give "
                    "shorter texts."
                )
            spans = spans[kept:]
            start = spans[0][0] if spans else len(premise)
        return parts

    def _notes(self, parts: int, shots: int) -> list[str]:
        notes = [f"premise judged in {parts} parts to fit the model's window"] if parts > 1 else []
        if shots < len(self._shots):
            notes.append(f"{shots} of {len(self._shots)} examples fit the model's window")
        return notes


def decisiveness(label: str | None, scores: Mapping[str, float]) -> float:
    """How much a part of a premise decides: the probability that it is not neutral, else that of its label."""
    if not scores:
        return float(label not in (None, "neutral"))
    return 1 - scores["neutral"] if "neutral" in scores else max(scores.values())
