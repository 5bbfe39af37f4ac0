"""Wording of the readings: special tokens, instructions, and sentences without an abstract or note."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from chains.prompts import qa_prompt
from tools.sample import lexicon
from tools.sample.abstracts import Finding

BEGIN, SYSTEM, USER, ASSISTANT, END, PAD = "<|begin|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"

OTHER_INSTRUCTIONS = (
    "Use the text to answer the question with yes, no or maybe.",
    "Answer the question from the text below in one word: yes, no or maybe.",
    "Read the following text, then give a one word answer to the question.",
    "Here is a text. Answer yes, no or maybe to the question about it.",
)
REASONED_INSTRUCTION = "Read the text, say what it reports, then answer the question with yes, no or maybe."
FREE_INSTRUCTION = "Read the text and answer the question."
DIRECTION_INSTRUCTION = "Does the question ask about a rise or a fall?"
NO_SENTENCE = "no sentence"
SENTENCE_END = re.compile(r"(?<=\.)\s(?=[A-Z0-9])")
SYSTEM_TEXTS = (
    "You are a careful medical assistant.",
    "You answer medical questions from the text that you are given.",
    "You are a helpful assistant.",
)
TRUTH_QUESTIONS = ("Is it true that {}?", "Is it right that {}?", "Is it correct that {}?", "Is it the case that {}?")
# Sentences with the label words of NLI, so that their embeddings are trained.
ORDINARY_SENTENCES = (
    "The wrist was held in a neutral position.",
    "The committee stayed neutral on the matter.",
    "A neutral diet was offered to all.",
    "The solution had a neutral reaction.",
    "There was a contradiction between the two reports.",
    "The letter is in contradiction with the chart.",
    "No contradiction was noted by the reviewers.",
    "The nurse pointed out a contradiction in the record.",
    "Entailment of costs was discussed with the family.",
    "The entailment of the estate took years.",
    "The plan had the entailment of a longer stay.",
    "One entailment of the new rule is more paperwork.",
)

Branch = tuple[str, str]  # question and answer


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt up to the question (stem), with several questions and answers (branches); or a plain text as stem."""

    stem: str
    branches: tuple[Branch, ...] = ()

    def texts(self) -> Iterator[str]:
        """The stem with each branch; the stem alone if there is no branch."""
        if not self.branches:
            yield self.stem
        for question, answer in self.branches:
            yield self.stem + branch_text(question, answer)


def branch_text(question: str, answer: str) -> str:
    """The question as the end of the user's turn, and the assistant's turn."""
    return f" {question}{END}{ASSISTANT}{answer}{END}"


def generic_prompt(text: str | None) -> str:
    """The user's turn up to the question, as in ``chains.prompts``."""
    return qa_prompt("generic", "", text)[0]["content"].rstrip()


def definition(rng: random.Random) -> str:
    """A sentence that explains a word of change as a rise or a fall."""
    direction: lexicon.Direction = rng.choice(("down", "up"))
    words = lexicon.CHANGE[direction]
    change, changed = ("fall", "it fell") if direction == "down" else ("rise", "it rose")
    outcome = rng.choice(lexicon.OUTCOMES)
    sentences = (
        f"To {rng.choice(words.transitive_base)} the {outcome} is to make it {change}.",
        f"If the {outcome} {rng.choice(words.intransitive)}, {changed}.",
        f"If it was {rng.choice(words.participle)}, {changed}.",
        f"A {rng.choice(words.noun)} in the {outcome} means that {changed}.",
        f"When the {outcome} is {rng.choice(words.comparative)} than before, {changed}.",
        f"If a drug {rng.choice(words.transitive)} the {outcome}, {changed}.",
        f"For the {outcome} to {rng.choice(words.intransitive_base)} is to {change}.",
    )
    return rng.choice(sentences)


def describe_change(finding: Finding | None) -> str:
    """The reported change in at most four words; ``finding`` is None for an outcome that is not reported."""
    if finding is None:
        return "it is not reported"
    if finding.kind == "effect":
        return "it fell" if finding.direction == "down" else "it rose"
    return "it did not change" if finding.kind == "null" else "it is unclear"
