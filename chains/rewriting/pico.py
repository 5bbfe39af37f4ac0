"""The phrases of a clinical question that a follow-up may take up or replace: who, with what, given what, measured how.

It goes by English alone: words for people, what stands before and after them, the heads of noun phrases, and how names
of drugs end (the stems of the WHO's international nonproprietary names, and the endings of chemistry). A phrase that it
cannot place has no kind; among two in one question the other's kind tells.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

Kind = Literal["group", "condition", "treatment", "measure"]
KINDS: tuple[Kind, ...] = ("group", "condition", "treatment", "measure")

_PEOPLE = (
    r"(?:(?:older|elderly|younger|young|middle-aged|adult|adolescent|pregnant|healthy|obese|overweight|hospitali[sz]ed|"
    r"postmenopausal|male|female)\s+)*"
    r"(?:patients|adults|women|men|children|people|persons|individuals|outpatients|inpatients|participants|volunteers|"
    r"infants|neonates|newborns|adolescents|teenagers|boys|girls|mothers|smokers|survivors|residents|veterans|"
    r"athletes|students|nurses)"
)
_GROUP = re.compile(rf"\b{_PEOPLE}\b", re.IGNORECASE)
_OF_CONDITION = re.compile(r"\s+(?:with|who have|who had|suffering from|diagnosed with|recovering from)\s+", re.I)
# Words that no phrase contains: they stand between phrases. Verbs of change and of giving are among them.
_BETWEEN = frozenset(
    """
    a an the this that these those it its they them their he she his her there such same
    and or but nor so than then too also as well instead namely
    in on at by to of for from with without within among between after before during when while if whether under
    is are was were be been being am do does did done has have had having can could may might must shall should will
    would not no never cannot
    who whom whose which what when where why how many much long often
    true known certain likely able effective evidence case role effect effects association associated linked
    receive receives received receiving take takes took taken taking give gives given giving get gets got use uses
    using used treat treats treated treating treatment seen found noted observed expected shown followed follow result
    results lead leads led cause causes caused bring brings brought about help helps helped make makes made become
    becomes became come comes go goes went up down push pushed pushes
    increase increases increased increasing decrease decreases decreased decreasing reduce reduces reduced reducing
    reduction lower lowers lowered lowering raise raises raised raising rise rises rose boost boosts boosted elevate
    elevates elevated elevation improve improves improved improvement worsen worsens worsened change changes changed
    alter alters altered affect affects affected influence influences prevent prevents prevented shorten shortens
    prolong prolongs extend extends diminish diminishes diminished cut cuts fall falls fell drop drops dropped decline
    declines declined grow grows grew gain gains climb climbs climbed advance advances advanced limit limits ease eases
    control controls predict predicts
    higher greater larger smaller fewer less more better worse longer shorter any some significant significantly
    achieved therapeutic work works worked safe useful
    """.split()  # noqa: SIM905
)
_MEASURES = frozenset(
    """
    score scores rate rates level levels pressure risk risks count counts frequency duration time distance weight size
    volume density mass strength output length area load cost costs use attendance mortality survival quality
    stiffness saturation pain glucose creatinine potassium sodium calcium cholesterol haemoglobin hemoglobin albumin
    symptoms symptom incidence prevalence function capacity stay temperature intake loss fatigue nausea anxiety
    depression sleep swelling bleeding infection infections complications recurrence relapse readmission readmissions
    adherence satisfaction severity index depth number healing life itch cough fever proteinuria hba1c bmi death deaths
    """.split()  # noqa: SIM905
)
_MEASURED = frozenset({"serum", "plasma", "fasting", "resting", "urinary"})  # before a substance that is measured
_TREATMENTS = frozenset(
    """
    therapy training coaching exercise exercises diet surgery education counselling counseling acupuncture vitamin
    vaccine vaccination supplements supplementation infusion injection injections massage yoga rehabilitation drug
    zinc iron magnesium mobilisation mobilization dose screening
    """.split()  # noqa: SIM905
)
_DRUG = re.compile(
    r"(?:mab|nib|cept|lukast|pril|sartan|stat|statin|vir|xaban|grel|gatran|parin|tide|triptan|setron|prazole|azole|"
    r"floxacin|oxacin|mycin|cillin|olol|dipine|zepam|zolam|caine|coxib|fenac|profen|gliptin|gliflozin|glitazone|platin|"
    r"taxel|ciclib|parib|semide|thiazide|oxetine|tyline|azepine|racetam|idone|sone|solone|mide|zide|dronate|terol|"
    r"tropium|afil|fibrate|formin|oprim|ine|ide|ril|ole|one|ane|ium|in|ol|ib|ab|en|am|im|ir|at)$"
)
_JOINED = re.compile(r"\b(?:length|quality|risk|rate|time|level|number|duration|incidence|loss|range) (?:of|to) \w+")
_WORD = re.compile(r"\w[\w'-]*")


@dataclass(frozen=True, slots=True)
class Phrase:
    """``text`` is the question from ``start`` to ``end``; ``kind`` is None where nothing tells."""

    kind: Kind | None
    text: str
    start: int
    end: int


def phrases(question: str) -> list[Phrase]:
    """The phrases of a question in order, each kind as often as it is there."""
    return list(_found(question))


@lru_cache(maxsize=4096)  # a conversation's questions are read again with every message
def _found(question: str) -> tuple[Phrase, ...]:
    people = list(_people(question))
    taken = [(phrase.start, phrase.end) for phrase in people]
    others = _by_elimination(
        [phrase for start, end in _gaps(question, taken) for phrase in _nouns(question, start, end)]
    )
    if first("treatment", others) is None:  # "in women with aspirin"
        people = [
            replace(one, kind="treatment") if one.kind == "condition" and _kind(one.text) == "treatment" else one
            for one in people
        ]
    return tuple(sorted([*people, *others], key=lambda phrase: phrase.start))


def first(kind: Kind, found: list[Phrase]) -> Phrase | None:
    """The first phrase of a kind."""
    return next((phrase for phrase in found if phrase.kind == kind), None)


def content_words(text: str) -> list[str]:
    """The words of a text that are not only there to hold it together."""
    return [word for word in _WORD.findall(text) if word.lower() not in _BETWEEN]


def drug_like(word: str) -> bool:
    """Whether a word ends as names of drugs do and is longer than most words that end so too."""
    return len(word) >= 6 and word.lower() not in _MEASURES and _DRUG.search(word.lower()) is not None


def _people(question: str) -> Iterator[Phrase]:
    for match in _GROUP.finditer(question):
        yield Phrase("group", match[0], match.start(), match.end())
        tail = _OF_CONDITION.match(question, match.end())
        if tail is not None:
            end = _phrase_end(question, tail.end())
            text = question[tail.end() : end]
            if text:
                yield Phrase("condition", text, tail.end(), end)


def _phrase_end(question: str, start: int) -> int:
    """Where the noun phrase that begins at ``start`` ends: before a word that stands between phrases, or a stop."""
    end = start
    for word in _WORD.finditer(question, start):
        if word[0].lower() in _BETWEEN or question[end : word.start()].strip():
            break
        end = word.end()
    return end


def _gaps(question: str, taken: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    start = 0
    for begin, end in taken:
        yield start, begin
        start = end
    yield start, len(question)


def _nouns(question: str, start: int, end: int) -> Iterator[Phrase]:
    place = start
    joined = {match.start(): match.end() for match in _JOINED.finditer(question[:end].lower(), start)}
    while (word := _WORD.search(question, place, end)) is not None:
        if word[0].lower() in _BETWEEN and word.start() not in joined and not _compound(question, word):
            place = word.end()
            continue
        stop = word.start()
        while stop < end:
            inner = _WORD.match(question, stop) if stop == word.start() else _WORD.search(question, stop, end)
            if inner is None or question[stop : inner.start()].strip():
                break
            if inner.start() in joined:
                stop = joined[inner.start()]
            elif inner[0].lower() in _BETWEEN and inner.start() > word.start() and inner[0].lower() not in _MEASURES:
                break
            else:
                stop = inner.end()
        text = question[word.start() : stop]
        yield Phrase(_kind(text), text, word.start(), stop)
        place = max(stop, word.end())


def _compound(question: str, word: re.Match[str]) -> bool:
    """Whether a word that otherwise stands between phrases begins one, as in "fall risk" and "treatment cost"."""
    following = _WORD.match(question, word.end() + 1)
    return word[0].lower() in {"fall", "treatment"} and following is not None and following[0].lower() in _MEASURES


def _kind(text: str) -> Kind | None:
    words = text.lower().split()
    if words[-1] in _MEASURES or words[0] in _MEASURED or _JOINED.search(text.lower()):
        return "measure"
    gerund = words[-1].endswith("ing") and len(words) > 1
    if gerund or not _TREATMENTS.isdisjoint((words[0], words[-1])) or any(map(drug_like, words)):
        return "treatment"
    return None


def _by_elimination(found: list[Phrase]) -> list[Phrase]:
    """Of a treatment or measure and one phrase of no kind, the latter is the other."""
    unknown = [phrase for phrase in found if phrase.kind is None]
    known = {phrase.kind for phrase in found if phrase.kind is not None}
    if len(unknown) != 1 or len(known) != 1:
        return found
    other: Kind = "measure" if known == {"treatment"} else "treatment"
    return [replace(phrase, kind=other) if phrase.kind is None else phrase for phrase in found]
