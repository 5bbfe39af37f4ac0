"""A follow-up made self-contained by rules of English, from the questions before it.

Two shapes are told apart. A fragment ("And in women?", "What about itch score?") stands for the earlier question with
one phrase changed: it is put in that phrase's place. A sentence ("Does it also lower pain?") stays as it is, with its
pronouns resolved and the population added where it names none. What fits neither is put beside the earlier question,
and a note says so; nothing is guessed.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chains.rewriting.pico import KINDS, Kind, Phrase, content_words, first, phrases

_LEAD = re.compile(
    r"^(?:(?:and|but|so|ok|okay|then|also|or|now|well|thanks|thank you|what about|how about|what of|what if|"
    r"the same (?:question )?(?:for|in|with))\b[\s,.:!-]*)+",
    re.IGNORECASE,
)
_TRAIL = re.compile(r"(?:[\s,]+(?:too|as well|also|instead|then|please|though))+\s*$", re.IGNORECASE)
_YES_NO = re.compile(
    r"^(?:do|does|did|is|are|was|were|can|could|will|would|should|shall|may|might|must|has|have|had)\b", re.IGNORECASE
)
_ASKING = re.compile(
    r"^(?:who|whom|whose|which|what|when|where|why|how|in which|for how|at which|in what)\b", re.IGNORECASE
)
_ONLY_ASKING = re.compile(r"^(?:why|how|really|how so|why not|how come|are you sure|tell me more|more)\W*$", re.I)
_SAME = re.compile(r"\b(?:the same(?: (?:effect|thing|result))?|so|likewise|similarly)\b(?!\s+as to\b)", re.IGNORECASE)
_POINTING = re.compile(r"\b(?:it|its|that|this|they|them|these|those|there|such)\b", re.IGNORECASE)
_IT = re.compile(r"\bit\b|\b(?:this|that)\b(?!\s+\w)", re.IGNORECASE)
_ITS = re.compile(r"\bits\b", re.IGNORECASE)
# "Is it lower in women?": what is lower, or falls, is what was measured.
_IT_CHANGES = re.compile(
    r"\b(?:is|was|does|did|will|would|can|could|becomes?|became) it (?:also |still |then |even |become )*"
    r"(?:lower|higher|greater|larger|smaller|shorter|longer|less|better|worse|\w+ed by|fall|rise|drop|go (?:up|down)|"
    r"decline|climb|grow)\b(?! \w+ (?:score|rate|level))",
    re.IGNORECASE,
)
_THE_TREATMENT = re.compile(
    r"\b(?:this|that|the|the same) (?:drug|treatment|medicine|medication|therapy|intervention)\b", re.IGNORECASE
)
_THE_MEASURE = re.compile(r"\b(?:this|that|the same) (?:outcome|measure|endpoint|value|symptom)\b", re.IGNORECASE)
_THE_PEOPLE = re.compile(
    r"\b(?:these|those|such|the same|the) (?:patients|people|adults|women|men|children|participants|persons)\b"
    r"(?! (?:with|who|having))|\b(?:this|that|the same) (?:group|population)\b|\bthem\b|\bthey\b",
    re.IGNORECASE,
)
_THERE = re.compile(r"\bthere\b(?=\s*(?:\?|$|,))", re.IGNORECASE)
_STUDY = re.compile(
    r"\b(?:stud(?:y|ies|ied)|trials?|authors?|took part|take part|participants?|randomi[sz]ed|follow-?up|followed up|"
    r"blind(?:ed)?|placebo|comparator|compared|control(?:led)?|dropouts?|dropped out|side effects?|adverse|"
    r"dos(?:e|es|age)|sample|enrolled|recruited|included|arms?|visits?|conclu(?:de|sion)s?|p[- ]value)\b",
    re.IGNORECASE,
)
_OF_STUDY = ", in the study of "
_LONGEST = 2000  # characters that a follow-up, or a question that it follows, may have: more is a text, not a question
_FEW = 6  # words of content up to which a question on a study is on the earlier one


@dataclass(frozen=True, slots=True)
class Completed:
    """A self-contained question; ``note`` says what was done, None where the message stood by itself."""

    question: str
    note: str | None = None


def complete(earlier: Sequence[str], message: str) -> Completed:
    """``message`` made self-contained.

    Args:
        earlier: the self-contained questions before it, oldest first.
        message: what is asked now, white space in it made plain.
    """
    message = " ".join(message.split())
    talk = _Talk.of([question for question in earlier if len(question) <= _LONGEST])
    if talk is None or len(message) > _LONGEST or _is_whole(message):
        return Completed(message)
    said = _LEAD.sub("", message) or message
    is_sentence = bool(_YES_NO.match(said) or _ASKING.match(said))
    if _ONLY_ASKING.match(said):
        question: str | None = f"{talk.last.rstrip()} {_capital(said)}"
    elif is_sentence and not _SAME.search(said) and not _only_a_treatment(said):
        question = _sentence(talk, said)
    else:
        question = _fragment(talk, said)
    if question is None:
        beside = f"{talk.last.rstrip()} {_capital(message)}"
        return Completed(
            beside, "the follow-up could not be completed by rule: it is asked beside the question before it"
        )
    return Completed(message) if question == said else Completed(question, f"read as: {question}")


@dataclass(frozen=True, slots=True)
class _Talk:
    """What was talked of: the questions but those on how a study was done, and the latest phrase of each kind."""

    questions: tuple[str, ...]
    latest: dict[Kind, str]

    @classmethod
    def of(cls, earlier: Sequence[str]) -> "_Talk | None":
        questions = tuple(one for one in earlier if _OF_STUDY not in one) or tuple(earlier[-1:])
        if not questions:
            return None
        latest: dict[Kind, str] = {}
        for question in questions:
            found = phrases(question)
            if first("group", found) is not None:  # a group without a condition is not the earlier one's
                latest.pop("condition", None)
            latest |= {one.kind: _within(one) for one in reversed(found) if one.kind is not None}
        return cls(questions, latest)

    @property
    def last(self) -> str:
        """The latest question."""
        return self.questions[-1]

    @property
    def population(self) -> str | None:
        """Who was talked of, such as "women with asthma"."""
        group, condition = self.latest.get("group"), self.latest.get("condition")
        if group is None:
            return None if condition is None else f"people with {condition}"
        return group.lower() if condition is None else f"{group.lower()} with {condition}"

    def pattern(self, kinds: Iterable[Kind]) -> str | None:
        """The latest question that has phrases of these kinds, told of what was talked of last."""
        for question in reversed(self.questions):
            if all(first(kind, phrases(question)) is not None for kind in kinds):
                return _put_all(question, self.latest)
        return None


def _is_whole(message: str) -> bool:
    """Whether a message names who, what and the measure, and points back to nothing."""
    found = phrases(message)
    named = {phrase.kind for phrase in found}
    return {"treatment", "measure", "group"} <= named and not _THE_PEOPLE.search(message)


def _fragment(talk: _Talk, fragment: str) -> str | None:
    """The earlier question with the fragment's phrases in place of its own; None where they find no place."""
    fragment = _TRAIL.sub("", fragment.rstrip(" ?.!"))
    new = {one.kind: _within(one) for one in reversed(phrases(fragment)) if one.kind is not None}
    if not new:
        new = _by_preposition(fragment)
    question = talk.pattern([kind for kind in ("treatment", "measure") if kind in new]) if new else None
    if question is None:
        return None
    missing = [kind for kind in new if first(kind, phrases(question)) is None]
    question = _put_all(question, new)
    if "group" in missing:
        who = " with ".join(new[kind] for kind in ("group", "condition") if kind in new)
        return f"{question.rstrip(' ?.')} in {who}?"
    if "condition" in missing:
        return f"{question.rstrip(' ?.')} in people with {new['condition']}?"
    return question


def _by_preposition(fragment: str) -> dict[Kind, str]:
    """A fragment whose noun is not known, by what is before it: "with eczema" and "those with eczema" are of people."""
    lead = re.match(r"(?:(?:in|among|for|of)?\s*(?:those|people|ones)\s+)?with\s+", fragment, re.IGNORECASE)
    rest = fragment[lead.end() :] if lead else ""
    return {"condition": rest} if content_words(rest) else {}


def _sentence(talk: _Talk, sentence: str) -> str | None:
    """The sentence with what it leaves to the earlier questions; itself where it leaves nothing to them."""
    said = phrases(sentence)
    named = {phrase.kind for phrase in said}
    if named.isdisjoint({"treatment", "measure"}) and _of_the_study(sentence, said):
        return _about_the_study(talk, sentence)
    resolved = _resolve_it(talk, _resolve_nouns(talk, sentence), said)
    own = phrases(resolved)
    if resolved == sentence and _stands_alone(talk, own):
        return sentence
    resolved = _with_condition(talk, resolved, own)
    if first("treatment", own) is None and first("measure", own) is None:
        return _about_the_study(talk, resolved)
    if first("treatment", own) is None and "treatment" in talk.latest:
        resolved = f"{_ended(resolved)} with {talk.latest['treatment']}?"
    if first("group", own) is None and first("condition", own) is None and talk.population is not None:
        resolved = f"{_ended(resolved)} in {talk.population}?"
    return _capital(resolved)


def _only_a_treatment(sentence: str) -> bool:
    """Whether a sentence names a treatment and hardly anything else: "Was keramide any better?"."""
    said = phrases(sentence)
    treatment = first("treatment", said)
    if treatment is None or len(said) > 1 or _POINTING.search(sentence):
        return False
    return len(content_words(sentence)) <= len(content_words(treatment.text)) + 1


def _of_the_study(sentence: str, said: list[Phrase]) -> bool:
    """Whether a sentence without a treatment or measure asks how an earlier study was done."""
    if first("condition", said) is not None or len(content_words(sentence)) > _FEW:
        return False
    return bool(_STUDY.search(sentence) or (_ASKING.match(sentence) and _POINTING.search(sentence)))


def _stands_alone(talk: _Talk, own: list[Phrase]) -> bool:
    """Whether a sentence that points to nothing is about something of its own: it shares no phrase, or names people."""
    if any(phrase.kind in ("group", "condition") for phrase in own):
        return True
    known = {text.lower() for text in talk.latest.values()}
    return not any(phrase.text.lower() in known for phrase in own)


def _resolve_nouns(talk: _Talk, sentence: str) -> str:
    """ "this drug", "these patients" and the like replaced by what they stand for."""
    for pattern, text in (
        (_THE_TREATMENT, talk.latest.get("treatment")),
        (_THE_MEASURE, talk.latest.get("measure")),
        (_THE_PEOPLE, talk.population),
        (_THERE, talk.population and f"in {talk.population}"),
    ):
        if text:
            sentence = pattern.sub(text.replace("\\", r"\\"), sentence)
    return sentence


def _resolve_it(talk: _Talk, sentence: str, said: list[Phrase]) -> str:
    """The sentence with "it" replaced by the treatment where a measure is named, by the measure where a treatment is.

    Where neither is, the first "it" is the treatment and the second the measure.
    """
    treatment, measure = talk.latest.get("treatment"), talk.latest.get("measure")
    changes = _IT_CHANGES.search(sentence) is not None and first("measure", said) is None
    if changes or first("treatment", said) is not None:
        stands_for = [measure]
    elif first("measure", said) is not None:
        stands_for = [treatment]
    else:
        stands_for = [treatment, measure]
    for text in filter(None, stands_for):
        sentence = _IT.sub(text.replace("\\", r"\\"), sentence, count=1)
    return _ITS.sub(f"{treatment}'s".replace("\\", r"\\"), sentence) if treatment else sentence


def _with_condition(talk: _Talk, sentence: str, own: list[Phrase]) -> str:
    """A group named without its condition has the earlier one's: "in women" of "women with burns"."""
    group, condition = first("group", own), talk.latest.get("condition")
    if group is None or condition is None or first("condition", own) is not None:
        return sentence
    return f"{sentence[: group.end]} with {condition}{sentence[group.end :]}"


def _about_the_study(talk: _Talk, sentence: str) -> str:
    """A question on how a study was done, with what the study was of."""
    topic = " and ".join(talk.latest[kind] for kind in ("treatment", "measure") if kind in talk.latest)
    people = f"in {talk.population}" if talk.population else ""
    told = " ".join(filter(None, (topic, people)))
    if not told:
        return f"{talk.last.rstrip()} {_capital(sentence)}"
    return f"{_capital(sentence).rstrip(' ?.!')}{_OF_STUDY}{told}?"


def _put_all(question: str, new: dict[Kind, str]) -> str:
    """The question with phrases in place of its first ones of their kinds."""
    for kind in KINDS:
        old = first(kind, phrases(question)) if kind in new else None
        if old is not None:
            question = _capital(question[: old.start] + new[kind] + question[old.end :])
    return question


def _within(phrase: Phrase) -> str:
    """A phrase as it stands within a sentence: the capital of a text's first word is the text's."""
    if phrase.start == 0 and phrase.text[1:2].islower():
        return phrase.text[0].lower() + phrase.text[1:]
    return phrase.text


def _ended(sentence: str) -> str:
    return _TRAIL.sub("", sentence.rstrip(" ?.!"))


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
