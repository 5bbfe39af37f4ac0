"""From pairs to the token ids that are trained on: those that ``chains.nli`` scores, and the end of the answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chains.config import Family
from chains.models.local import LocalLLM
from chains.models.prompt_sanitizing import Cleaner
from chains.models.scoring import encode, with_labels
from chains.models.templates import label_lead, render
from chains.prompts import Messages, nli_prompt, resolve_family
from corpus.nli import NLIPair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Example:
    """Prompt and answer as token ids; the answer, its end token included, begins at ``start``."""

    ids: list[int]
    start: int


@dataclass(frozen=True, slots=True)
class Examples:
    """The examples that fit the window, the pairs that they are of, and how many pairs were too long."""

    examples: tuple[Example, ...]
    pairs: tuple[NLIPair, ...]
    left_out: int


def encode_pairs(
    llm: LocalLLM, pairs: Sequence[NLIPair], labels: Sequence[str], family: Family, max_length: int | None = None
) -> Examples:
    """Each pair as ``chains.nli`` would ask it, answered; pairs longer than window or ``max_length`` are left out.

    Prompt, white space, label and end are tokenised as one text, so that the ids before ``start`` and the label's are
    the very ones that ``chains.models.scoring`` scores.
    """
    tokenizer = llm.tokenizer
    clean = Cleaner(tokenizer)
    wording = resolve_family(family, llm.model.config.model_type, llm.name, str(tokenizer.chat_template))
    conversations: list[Messages] = [
        nli_prompt(
            wording, clean(pair.premise).strip(), clean(pair.hypothesis).strip(), labels, system=llm.config.system
        )
        for pair in pairs
    ]
    texts = render(tokenizer, conversations)
    lead, end = label_lead(tokenizer), answer_end(tokenizer)
    scored = with_labels(tokenizer, texts, encode(tokenizer, texts), labels, lead)
    wholes = encode(tokenizer, [text + lead + pair.label + end for text, pair in zip(texts, pairs, strict=True)])
    room = min((limit for limit in (llm.window, max_length) if limit is not None), default=None)
    kept = [
        (pair, Example(ids, len(prompt.ids)))
        for pair, ids, prompt in zip(pairs, wholes, scored, strict=True)
        if room is None or len(ids) <= room
    ]
    return Examples(tuple(one for _, one in kept), tuple(pair for pair, _ in kept), len(pairs) - len(kept))


def answer_end(tokenizer: "PreTrainedTokenizerBase") -> str:
    """What closes an answer: as the chat template does it up to its end token, else the tokenizer's own end token."""
    question: Messages = [{"role": "user", "content": "Is it so?"}]
    prompt = render(tokenizer, [question])[0]
    answered = str(tokenizer.apply_chat_template([*question, {"role": "assistant", "content": "yes"}], tokenize=False))
    if answered.startswith(prompt):
        after = answered[len(prompt) :].partition("yes")[2].rstrip()
        if any(after.endswith(token) for token in tokenizer.all_special_tokens if token):
            return after
    return tokenizer.eos_token or ""


def columns(examples: Sequence[Example], *, answer_alone: bool) -> Iterator[tuple[list[int], list[int]]]:
    """The ids and the targets of each example; a target of -100 is not learned."""
    for example in examples:
        prompt = [-100] * example.start if answer_alone else example.ids[: example.start]
        yield example.ids, prompt + example.ids[example.start :]
