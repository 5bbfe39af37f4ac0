"""Rules that make follow-up questions self-contained, without a model.

Three kinds of fragment are completed from the earlier question: other people ("And in women?") replace its population,
another kind ("And second-line?", "And type 1?") replaces the kind, and another subject ("What about aspirin?") replaces
the subject of an attribute ("What is the dose of metformin?"). A self-contained question is unchanged. Anything else is
searched for together with the question before it, after the words that are new in the message, and a note says so. The
new words stand twice, since a new drug must outweigh the one of the earlier question (``benchmarks/followups.py``).
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from chains.citations import asks_for_fact
from corpus.words import terms

_LEAD = re.compile(
    r"^[¿¡\s]*(?:(?:and|but|so|ok|okay|then|also|or|now|well|thanks|thank you|what about|how about|what of|what if|"
    r"the same (?:question )?(?:for|in|with)|und|aber|oder|danke|was ist mit|wie (?:ist|sieht) es (?:aus )?(?=bei|mit)|"
    r"et (?=chez|pour|les|la|le|en|avec|si|quand|dans|comment)|mais|merci|"
    r"y (?=en|para|con|los|las|el|la|si|cómo|cuál|durante)|pero|gracias)\b[\s,.:!-]*)+",
    re.IGNORECASE,
)
_TRAIL = re.compile(r"(?:[\s,]+(?:too|as well|also|instead|then|please|though))+\s*$", re.IGNORECASE)
_YES_NO = re.compile(
    r"^(?:do|does|did|is|are|was|were|can|could|will|would|should|shall|may|might|must|has|have|had)\b", re.IGNORECASE
)
_WHICH = re.compile(r"^(?:what|which|who|whose)\b", re.IGNORECASE)
_POINTING = re.compile(
    r"\b(?:it|its|this|they|their|them|these|those|such|same|so)\b|\bthere\b(?=\s*(?:[?,]|$))"
    r"|\bthe (?:drug|treatment|medicine|medication|therapy|intervention)\b(?! (?:of|for|with)\b)",
    re.IGNORECASE,
)
# The same in German, French and Spanish, without the formal "Sie" and "gibt es".
_POINTING_ELSEWHERE = re.compile(
    r"\b(?:er|sie|ihn|ihm|ihnen|ihre?[mnrs]?|seine[mnrs]?|[Dd]iese[mnrs]?|[Dd]eren|[Dd]essen"
    r"|[Dd]a(?:von|für|gegen|mit|bei|durch|nach|ran)|elles?|ils|celui-ci|celle-ci|ceux-ci|cela|ça|sa|ses|leurs?"
    r"|ell[ao]s?|él|sus?|[Ee]st[eao]s? (?:medicamento|enfermedad))\b"
    r"|(?<!gibt )(?<!ist )\bes\b(?=\s+\w+\s*\?)|^¿?(?:[Cc]ómo|[Cc]uándo) se \w+\s*\?"
)
_PREPOSITION = r"(?:in|for|with|during|after|before|at|on|among|by|from|without|under|until|despite)"
_WITHOUT_VERB = re.compile(rf"^{_PREPOSITION} (?!(?:which|what|whom|whose|how)\b)[^,;:]*$", re.IGNORECASE)
_VERB = re.compile(
    r"\b(?:do|does|did|is|are|was|were|be|been|can|could|will|would|should|shall|may|might|must|has|have|had)\b",
    re.IGNORECASE,
)
_SITUATION = re.compile(
    r"\s+(?:in|during)\s+(?:pregnancy|lactation|breastfeeding|childhood|infancy|adolescence|adulthood|old age)"
    r"(?=\s*\?|$)",
    re.IGNORECASE,
)
# Names of one of several kinds: second-line, type 1, hepatitis C.
_HYPHENED = re.compile(r"(?P<kind>\w+)-(?P<head>\w+)(?P<rest>(?: \w+)*)", re.IGNORECASE)
_KIND = re.compile(r"\w+-(?:line|term|dose|release|acting|stage|grade|degree|generation)", re.IGNORECASE)
_NUMBERED = re.compile(r"(?P<head>[^\W\d_]{3,}) (?P<kind>[A-Z]|\d{1,2}[a-z]?|[IVX]{1,4})")
_PEOPLE = (
    r"(?:(?:older|elderly|younger|young|middle-aged|adult|adolescent|pregnant|healthy|obese|overweight|hospitali[sz]ed|"
    r"postmenopausal|male|female)\s+)*"
    r"(?:patients|adults|women|men|children|people|persons|individuals|outpatients|inpatients|participants|volunteers|"
    r"infants|neonates|newborns|adolescents|teenagers|boys|girls|mothers|smokers|survivors|residents|veterans|"
    r"athletes|students|nurses)"
)
_WITH = r"\s+(?:with|who have|who had|suffering from)\s+"
_POPULATION = re.compile(rf"\b(?P<group>{_PEOPLE})\b(?:{_WITH}(?P<condition>[^?.,;:]+))?", re.IGNORECASE)
_OTHER_PEOPLE = re.compile(
    rf"(?:(?:in|for|among|of)\s+)?(?:(?P<group>{_PEOPLE})|those|ones)(?:{_WITH}(?P<condition>[\w -]+))?", re.IGNORECASE
)
# Attributes of a disease or a treatment; a question that names nothing else lacks its subject.
_ATTRIBUTES = frozenset(
    """
    dose doses dosage half-life mechanism symptom symptoms sign signs cause causes treatment treatments treated therapy
    prognosis mortality incidence prevalence diagnosis diagnosed complications contraindications indications
    interactions definition duration side effects
    """.split()  # noqa: SIM905
)
# Words that do not name a subject: methods of a study, and directions of change.
_GENERAL = frozenset(
    """
    study studies trial trials took take taken part many much long often common safe serious work works worked help
    helps effect risk better worse lower higher raise reduce increase decrease change known use used needed need
    drug drugs medicine medication intervention sample placebo also
    randomised randomized blinded authors included followed lasted sure really more detail details
    safer safest best cheaper cheapest faster stronger preferred recommended alternative alternatives option options
    """.split()  # noqa: SIM905
)
_SUBJECT = re.compile(r"\b(?P<attribute>[\w-]+) of (?P<subject>[\w -]+?)(?= (?:in|for|among|after|with|during)\b|\?|$)")
# A question that names one subject and nothing else: "What is sepsis?", "What are the symptoms of gout?".
_NAMES = re.compile(
    r"(?:what (?:is|are)(?: the(?: [\w-]+){1,3} of)?|what causes|what (?:is|are) the causes of|how (?:is|are|do|does))"
    r" (?P<subject>(?!the |an? |it |its |they |their |this )[\w’'-]+(?: [\w’'-]+){0,2}?)"
    r"(?: (?:treated|diagnosed|managed|prevented|work))?\??",
    re.IGNORECASE,
)
_ITS = re.compile(r"\b(?:its|their) (?P<attribute>[\w -]+?)(?=\?|$)", re.IGNORECASE)
_BARE = re.compile(r"(?P<start>what (?:is|are) the (?P<attribute>[\w -]+?))\??", re.IGNORECASE)
_WORD = re.compile(r"\w[\w'’-]*")
_LONGEST = 2000  # characters of a follow-up or earlier question; a longer one is a text, not a question
_NAMED = 3  # subject words of a question that later follow-ups refer to
_FRAGMENT = 3  # maximum number of words of a new subject
_WHOLE = 3  # content words before the population of a question that is complete, as in "aspirin prevents stroke"
BESIDE = "the follow-up could not be completed by rule: it is asked together with the question before it"


@dataclass(frozen=True, slots=True)
class Completed:
    """A self-contained question; ``note`` says how it was completed, None if the message is self-contained."""

    question: str
    note: str | None = None


def complete(earlier: Sequence[str], message: str) -> Completed:
    """``message`` made self-contained after the self-contained questions before it, oldest first."""
    message = " ".join(message.split())
    last = next((one for one in reversed(earlier) if len(one) <= _LONGEST), None)
    if last is None or len(message) > _LONGEST or _is_whole(message):
        return Completed(message)
    topic = _topic(last)
    fragment = _TRAIL.sub("", _LEAD.sub("", message).rstrip(" ?.!"))
    completed = (
        _with_other_kind(topic, fragment)
        or _with_other_people(topic, fragment)
        or _with_other_subject(topic, fragment)
        or _with_its_subject(topic, _LEAD.sub("", message))
    )
    if completed is not None:
        return Completed(completed, f"read as: {completed}")
    return Completed(" ".join([*_new_words(topic, message), topic, _capital(message)]), BESIDE)


def _new_words(topic: str, message: str) -> list[str]:
    """The words of a message that name what the topic does not, as one question; the message where they are many.

    A whole question in another language has none, since only English words without a subject are known.
    """
    asked = _LEAD.sub("", message)
    if _POINTING_ELSEWHERE.search(asked) or (asks_for_fact(asked) and not _VERB.search(asked)):
        return []
    known, subjects = set(terms(topic)), _subjects(message)
    words = [word for word in content_words(asked) if word.lower() in subjects and not _VERB.fullmatch(word)]
    new = [word for word in words if not known & set(terms(word))]
    if len(new) > _FRAGMENT:
        return [_capital(message)]
    return [f"{_capital(' '.join(new))}?"] if new else []


def _topic(question: str) -> str:
    """Of several questions in one text, the last that names its subject, else the most specific."""
    parts = [part for part in re.split(r"(?<=\?)\s+", question.strip()) if part]
    named = [part for part in parts if len(_subjects(part)) >= _NAMED]
    return named[-1] if named else max(parts, key=lambda part: len(_subjects(part)), default=question)


def content_words(text: str) -> list[str]:
    """The words of a text without English stop words."""
    return [match[0] for match in _WORD.finditer(unicodedata.normalize("NFKC", text)) if terms(match[0])]


def without_population(question: str) -> str:
    """The question up to its population."""
    found = _POPULATION.search(question)
    return question if found is None else re.sub(r"\s+(?:in|for|among|of)\s*$", "", question[: found.start()])


def _is_whole(message: str) -> bool:
    """Whether a message refers to nothing before it and names its subject."""
    if _POINTING.search(message) or _POINTING_ELSEWHERE.search(message):
        return False
    if _WITHOUT_VERB.match(message) and not _VERB.search(message):
        return False
    subjects = len(_subjects(message))
    if _LEAD.match(message) and not _YES_NO.match(_LEAD.sub("", message)):
        return False
    if _WHICH.match(message) or _NAMES.fullmatch(message):
        return subjects >= 1
    return subjects >= (2 if _YES_NO.match(message) or not _is_short(message) else 3)


def _subjects(message: str) -> set[str]:
    """The words that name the subject of a message: no people, attributes or general words."""
    text = _LEAD.sub("", re.sub(rf"\b{_PEOPLE}\b", " ", message, flags=re.IGNORECASE))
    return {word.lower() for word in content_words(text)} - _ATTRIBUTES - _GENERAL


def _is_short(message: str) -> bool:
    return len(message.split()) <= 2 * _FRAGMENT


def _with_other_kind(question: str, fragment: str) -> str | None:
    """The question with another kind of its subject: second-line for first-line, hepatitis C for hepatitis B."""
    fragment = re.sub(rf"^{_PREPOSITION} ", "", fragment, flags=re.IGNORECASE)
    if new := _HYPHENED.fullmatch(fragment):
        old = re.search(rf"\b\w+-{new['head']}{new['rest']}\b", question, re.IGNORECASE)
    elif new := _NUMBERED.fullmatch(fragment):
        old = re.search(rf"\b{new['head']} {_NUMBERED.pattern.rpartition(' ')[2]}\b", question, re.IGNORECASE)
    else:
        return None
    return None if old is None else question[: old.start()] + _like(old[0], fragment) + question[old.end() :]


def _like(old: str, new: str) -> str:
    """The new words with a capital where the old ones had it."""
    return _capital(new) if old[0].isupper() else new[0].lower() + new[1:]


def _with_other_people(question: str, fragment: str) -> str | None:
    """The question with the population that the fragment names; None if it names none or its place is unclear."""
    new = _OTHER_PEOPLE.fullmatch(fragment)
    if new is None or not (new["group"] or new["condition"]):
        return None
    old = _POPULATION.search(question)
    who = f"{new['group'] or 'people'} with {new['condition']}" if new["condition"] else new["group"]
    if old is None:
        return f"{_SITUATION.sub('', question).rstrip(' ?.')} in {who}?"
    if not new["condition"]:
        return question[: old.start("group")] + new["group"] + question[old.end("group") :]
    known = len(content_words(question[: old.start()])) >= _WHOLE and not question[old.end() :].strip(" ?.")
    if not known:  # what follows "with" may be more than the old condition
        return None
    group = new["group"] or old["group"]
    return f"{question[: old.start()]}{group} with {new['condition']}?"


def _with_other_subject(question: str, fragment: str) -> str | None:
    """The question for the same attribute of the subject that the fragment names."""
    words = _WORD.findall(fragment)
    if _KIND.fullmatch(fragment):
        return None
    old = _SUBJECT.search(question)
    if old is None or old["attribute"].lower() not in _ATTRIBUTES or not 0 < len(words) <= _FRAGMENT:
        return None
    lowered = {word.lower() for word in words}
    if lowered & (_ATTRIBUTES | _GENERAL) or len(content_words(fragment)) < len(words):
        return None
    return question[: old.start("subject")] + fragment + question[old.end("subject") :]


def _with_its_subject(question: str, message: str) -> str | None:
    """The message with the subject of the question, if it says "its" or names an attribute without a subject."""
    named = _NAMES.fullmatch(question)
    if named is None:
        return None
    possessive, bare = _ITS.search(message), _BARE.fullmatch(message)
    found = possessive or bare
    if found is None or not {word.lower() for word in _WORD.findall(found["attribute"])} <= _ATTRIBUTES:
        return None
    start = f"{message[: found.start()]}the {found['attribute']}" if possessive else found["start"]
    return _capital(f"{start} of {named['subject']}?")


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
