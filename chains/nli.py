"""Natural language inference (NLI): the interface of all NLI models, and a chain over a causal language model.

The chain works zero-shot, with examples in the prompt, or with an adapter trained for NLI (``medground train qlora``).
"""

import random
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import BaseModel, ConfigDict, Field

from chains.config import Decide, Family, check_choices
from chains.labels import Case, Decider
from chains.models.base import LLM, TooLongError, as_llm
from chains.models.fitting import split_to_fit
from chains.models.one_pass import OnePassRunnable, apply_to_valid
from chains.prompts import PromptFamily, Shot, as_dicts, nli_template, shot_turns
from common.errors import UserError
from common.fingerprints import content_key
from corpus.inference.pairs import NLIPair, without_premises_of

NLI_LABELS = ("entailment", "neutral", "contradiction")
Pair = tuple[str, str]
Whole = TypeVar("Whole")
Part = TypeVar("Part")
_SHOT_SEED = 11


class Judgement(BaseModel):
    """How a hypothesis relates to a premise.

    ``label`` is None if the generated text names no label; ``label_scores`` are probabilities that sum to 1, empty if
    the label was parsed from generated text. A premise longer than the model's window is judged in parts; the judgement
    is then that of the least neutral part. ``reused``: whether the judgements of all parts came from the cache.
    """

    model_config = ConfigDict(frozen=True)

    label: str | None
    label_scores: dict[str, float] = {}
    prompt: str | None = None
    output: str | None = None
    notes: tuple[str, ...] = ()
    reused: bool = Field(default=False, exclude=True, repr=False)


class NLIModel(OnePassRunnable[Mapping[str, str], Judgement]):
    """A LangChain ``Runnable`` from ``{"premise": ..., "hypothesis": ...}`` to a ``Judgement``.

    Attributes:
        labels: the candidate labels.
    """

    labels: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """A hash of everything besides the prompt that can change a judgement; empty if unknown."""
        return ""

    @abstractmethod
    def judge(self, pairs: Sequence[Pair]) -> list[Judgement | UserError]:
        """A judgement or an error for each pair (premise, hypothesis), in order; all pairs in one pass."""

    def _in_one_pass(
        self,
        inputs: Sequence[Mapping[str, str]],
        configs: Sequence[RunnableConfig],  # noqa: ARG002  (part of the interface)
    ) -> list[Exception | Judgement]:
        return [*apply_to_valid([_parse_input(input) for input in inputs], self.judge)]


def _parse_input(input: object) -> Pair | UserError:
    fields: Mapping[object, object] = input if isinstance(input, Mapping) else {}
    texts = []
    for name in ("premise", "hypothesis"):
        text = fields.get(name)
        if not isinstance(text, str) or not text.strip():
            return UserError(f'A pair needs a {name}: give {{"premise": text, "hypothesis": text}}.')
        texts.append(text)
    return texts[0], texts[1]


def judge_in_parts(
    pairs: Sequence[Whole],
    split: Callable[[Whole], Sequence[Part]],
    judge: Callable[[list[Part]], list[Judgement | UserError]],
) -> list[Judgement | UserError]:
    """The judgement of each pair: that of the most decisive of the parts into which ``split`` divides it.

    The parts of all pairs are judged together. A ``UserError`` of ``split`` or of a part is the result of its pair.
    """
    divided: list[Sequence[Part] | UserError] = []
    for pair in pairs:
        try:
            divided.append(split(pair))
        except UserError as error:
            divided.append(error)
    results = iter(judge([part for parts in divided if not isinstance(parts, UserError) for part in parts]))
    return [parts if isinstance(parts, UserError) else _deciding([next(results) for _ in parts]) for parts in divided]


def _deciding(parts: Sequence[Judgement | UserError]) -> Judgement | UserError:
    judged = [part for part in parts if isinstance(part, Judgement)]
    if len(judged) < len(parts):
        return next(part for part in parts if isinstance(part, UserError))
    deciding = max(judged, key=_decisiveness)
    note = (f"premise judged in {len(parts)} parts to fit the model's window",) if len(parts) > 1 else ()
    reused = all(part.reused for part in judged)
    return deciding.model_copy(update={"notes": (*note, *deciding.notes), "reused": reused})


def _decisiveness(judgement: Judgement) -> float:
    """How clearly a judgement decides: 1 - P(neutral), or the highest probability if no label is neutral.

    Without probabilities, 1 for a label other than neutral, else 0.
    """
    scores = judgement.label_scores
    if not scores:
        return float(judgement.label not in (None, "neutral"))
    return 1 - scores["neutral"] if "neutral" in scores else max(scores.values())


def nli_chain(
    llm: LLM | Runnable[Any, Any],
    labels: Sequence[str] = NLI_LABELS,
    *,
    shots: Sequence[Shot] = (),
    decide: Decide = "score",
    prompt_family: Family = "auto",
    system: str | None = None,
) -> "NLIChain":
    """A chain that judges how a hypothesis relates to a premise.

    Args:
        llm: any LangChain chat model or LLM, or a model of ``chains.models.make_llm``.
        labels: the candidate labels, two or more.
        shots: examples before each pair (``draw_shots``). If they do not fit in the window, the last examples are left
            out, and a note reports it.
        decide: ``score`` takes the most probable label after the prompt, ``generate`` parses generated text.
        prompt_family: the wording of the prompt; ``auto`` is decided by the model.
        system: a system message; by default the model's setting.

    Raises:
        UserError: there are fewer than two labels, a label that must be parsed is not a plain word, or an argument is
            of another type.
    """
    model = as_llm(llm)
    check_choices(decide=(decide, Decide), prompt_family=(prompt_family, Family))
    if len(set(labels)) < 2:
        raise UserError(f"A choice needs two labels or more; there is {', '.join(labels) or 'none'}.")
    return NLIChain(model, tuple(dict.fromkeys(labels)), shots, decide, model.family(prompt_family), system)


def draw_shots(
    train: Sequence[NLIPair], labels: Sequence[str], k: int, *, test_pairs: Sequence[NLIPair] = ()
) -> list[Shot]:
    """``k`` random examples of each label from the training pairs, in alternating order of labels.

    The seed is fixed, so equal arguments give the same examples. Training pairs with a premise of ``test_pairs`` are
    not drawn.

    Raises:
        UserError: a label has fewer than ``k`` such training pairs.
    """
    rng = random.Random(_SHOT_SEED)
    allowed = without_premises_of(test_pairs, train)
    drawn: list[list[Shot]] = []
    for label in labels:
        of_label = [pair for pair in allowed if pair.label == label]
        if len(of_label) < k:
            raise UserError(
                f"{k} examples of each label were asked for; {label} has {len(of_label)} training pairs"
                + (" whose premise is not among those to judge" if len(allowed) < len(train) else "")
                + ". Set prompt.shots lower, or name a folder in pairs.path and a larger file in pairs.files.train."
            )
        drawn.append([Shot(pair.premise, pair.hypothesis, pair.label) for pair in rng.sample(of_label, k)])
    return [shot for group in zip(*drawn, strict=True) for shot in group]


class NLIChain(NLIModel):
    """A chain made by ``nli_chain``."""

    def __init__(
        self,
        llm: LLM,
        labels: tuple[str, ...],
        shots: Sequence[Shot],
        decide: Decide,
        family: PromptFamily,
        system: str | None,
    ) -> None:
        self.labels = labels
        self._llm = llm
        self._shots = [Shot(llm.clean(one.premise), llm.clean(one.hypothesis), one.label) for one in shots]
        self._family: PromptFamily = family
        self._template = nli_template(family, labels, llm.config.system if system is None else system)
        self._decider = Decider(llm, self._template, labels, decide)

    @property
    def fingerprint(self) -> str:
        """The language model's fingerprint."""
        return self._llm.fingerprint

    def judge(self, pairs: Sequence[Pair]) -> list[Judgement | UserError]:
        """Render the prompts, split premises that do not fit, and run the model in batches of similar length."""
        clean = self._llm.clean
        cleaned = [(clean(premise).strip(), clean(hypothesis).strip()) for premise, hypothesis in pairs]
        rendered = list(zip(cleaned, self._render(cleaned, len(self._shots)), strict=True))
        return judge_in_parts(rendered, self._fitted, self._judge_cases)

    def _judge_cases(self, cases: Sequence[tuple[Case, int]]) -> list[Judgement | UserError]:
        """A judgement or an error for each rendered prompt, given with the number of shots in it."""
        decisions = self._decider.decide([case for case, _ in cases])
        return [
            decision
            if isinstance(decision, UserError)
            else Judgement(
                label=decision.label,
                label_scores=decision.scores,
                prompt=case.prompt[0],
                output=decision.output,
                notes=(*self._shots_note(shots), *decision.notes),
                reused=decision.reused,
            )
            for (case, shots), decision in zip(cases, decisions, strict=True)
        ]

    def _render(self, pairs: Sequence[Pair], shots: int) -> list[Case]:
        turns = shot_turns(self._family, self.labels, self._shots[:shots])
        inputs = [{"premise": premise, "hypothesis": hypothesis, "shots": turns} for premise, hypothesis in pairs]
        prompts = self._llm.prompts([as_dicts(self._template.format_messages(**one)) for one in inputs])
        return [Case(prompt, one) for prompt, one in zip(prompts, inputs, strict=True)]

    def _fits(self, case: Case) -> bool:
        return self._llm.window is None or self._llm.length(case.prompt) + self._decider.reserve <= self._llm.window

    def _fitted(self, rendered: tuple[Pair, Case]) -> list[tuple[Case, int]]:
        """The prompt with as many shots as fit; if it does not fit without shots, prompts for parts of the premise."""
        pair, case = rendered
        if self._fits(case):
            return [(case, len(self._shots))]
        for shots in range(len(self._shots) - 1, -1, -1):
            case = self._render([pair], shots)[0]
            if self._fits(case):
                return [(case, shots)]
        premise, hypothesis = pair
        parts = split_to_fit(premise, lambda text: self._fits(self._render([(text, hypothesis)], 0)[0]))
        if not parts:
            taken = self._llm.length(self._render([("", hypothesis)], 0)[0].prompt)
            raise TooLongError(
                f"The pair is too long: the hypothesis and the instruction take {taken} tokens, and the model's window "
                f"is {self._llm.window}. Give shorter texts."
            )
        return [(case, 0) for case in self._render([(part, hypothesis) for part in parts], 0)]

    def _shots_note(self, shots: int) -> list[str]:
        given = len(self._shots)
        return [f"{shots} of {given} examples fit the model's window"] if shots < given else []


class CalibratedNLI(NLIModel):
    """An NLI model whose logits are divided by a temperature, which changes the probabilities but not the labels.

    The method is that of Guo et al. 2017, "On Calibration of Modern Neural Networks". Judgements without probabilities
    stay unchanged.
    """

    def __init__(self, model: NLIModel, temperature: float) -> None:
        self.labels = model.labels
        self._model = model
        self._temperature = temperature

    @property
    def fingerprint(self) -> str:
        """A hash of the model's fingerprint and the temperature; empty if the model has no fingerprint."""
        model = self._model.fingerprint
        return model and content_key(model=model, temperature=self._temperature)

    def judge(self, pairs: Sequence[Pair]) -> list[Judgement | UserError]:
        """The model's judgements with their probabilities rescaled."""
        return [
            one
            if isinstance(one, UserError)
            else one.model_copy(update={"label_scores": _rescaled(one.label_scores, self._temperature)})
            for one in self._model.judge(pairs)
        ]


def _rescaled(scores: Mapping[str, float], temperature: float) -> dict[str, float]:
    """The probabilities of logits divided by ``temperature``: each to the power 1 / temperature, normalised."""
    # Division by the largest probability makes one power 1, so the sum does not underflow.
    largest = max(scores.values(), default=0.0) or 1.0
    powers = {label: (score / largest) ** (1 / temperature) for label, score in scores.items()}
    total = sum(powers.values()) or 1.0  # the sum is 0 if all probabilities are 0
    return {label: power / total for label, power in powers.items()}
