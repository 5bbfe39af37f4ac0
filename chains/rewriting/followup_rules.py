"""Rules that make follow-up questions self-contained, without a model.

Three kinds of fragment are completed from the earlier question: other people ("And in women?") replace its population,
another kind ("And second-line?", "And type 1?") replaces the kind, and another subject ("What about aspirin?") replaces
the subject of an attribute ("What is the dose of metformin?"). A self-contained question is unchanged. For any other
message, the query consists of the new words of the message, the earlier question and the message, and a note reports
it. So the new words occur twice: a new drug must outweigh the drug of the earlier question
(``benchmarks/followups.py``).
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from chains.citations import asks_for_fact
from corpus.words import terms

_OPENING = re.compile(  # words before a follow-up, such as "and what about"
    r"^[¿¡\s]*(?:(?:and|but|so|ok|okay|then|also|or|now|well|thanks|thank you|what about|how about|what of|what if|"
    r"the same (?:question )?(?:for|in|with)|und|aber|oder|danke|was ist mit|wie (?:ist|sieht) es (?:aus )?(?=bei|mit)|"
    r"et (?=chez|pour|les|la|le|en|avec|si|quand|dans|comment)|mais|merci|"
    r"y (?=en|para|con|los|las|el|la|si|cómo|cuál|durante)|pero|gracias)\b[\s,.:!-]*)+",
    re.IGNORECASE,
)
_CLOSING = re.compile(  # words after a follow-up
    r"(?:[\s,]+(?:too|as well|also|instead|then|please|though))+\s*$", re.IGNORECASE
)
_YES_NO = re.compile(
    r"^(?:do|does|did|is|are|was|were|can|could|will|would|should|shall|may|might|must|has|have|had)\b", re.IGNORECASE
)
_QUESTION_WORD = re.compile(r"^(?:what|which|who|whose)\b", re.IGNORECASE)
_REFERENCE = re.compile(  # words that refer to an earlier message
    r"\b(?:it|its|this|they|their|them|these|those|such|same|so)\b|\bthere\b(?=\s*(?:[?,]|$))"
    r"|\bthe (?:drug|treatment|medicine|medication|therapy|intervention)\b(?! (?:of|for|with)\b)",
    re.IGNORECASE,
)
# References in German, French and Spanish. The German "Sie" (you) and "gibt es" (there is) are none.
_FOREIGN_REFERENCE = re.compile(
    r"\b(?:er|sie|ihn|ihm|ihnen|ihre?[mnrs]?|seine[mnrs]?|[Dd]iese[mnrs]?|[Dd]eren|[Dd]essen"
    r"|[Dd]a(?:von|für|gegen|mit|bei|durch|nach|ran)|elles?|ils|celui-ci|celle-ci|ceux-ci|cela|ça|sa|ses|leurs?"
    r"|ell[ao]s?|él|sus?|[Ee]st[eao]s? (?:medicamento|enfermedad))\b"
    r"|(?<!gibt )(?<!ist )\bes\b(?=\s+\w+\s*\?)|^¿?(?:[Cc]ómo|[Cc]uándo) se \w+\s*\?"
)
_PREPOSITION = r"(?:in|for|with|during|after|before|at|on|among|by|from|without|under|until|despite)"
_PREPOSITIONAL_PHRASE = re.compile(rf"^{_PREPOSITION} (?!(?:which|what|whom|whose|how)\b)[^,;:]*$", re.IGNORECASE)
_VERB = re.compile(
    r"\b(?:do|does|did|is|are|was|were|be|been|can|could|will|would|should|shall|may|might|must|has|have|had)\b",
    re.IGNORECASE,
)
_SITUATION = re.compile(  # dropped if a follow-up names other people
    r"\s+(?:in|during)\s+(?:pregnancy|lactation|breastfeeding|childhood|infancy|adolescence|adulthood|old age)"
    r"(?=\s*\?|$)",
    re.IGNORECASE,
)
# One of several kinds of a treatment or disease: second-line, type 1, hepatitis C.
_HYPHENATED_KIND = re.compile(r"\w+-(?P<head>\w+)(?P<rest>(?: \w+)*)", re.IGNORECASE)
_KIND_OF_TREATMENT = re.compile(r"\w+-(?:line|term|dose|release|acting|stage|grade|degree|generation)", re.IGNORECASE)
_KIND_NUMBER = r"(?:[A-Z]|\d{1,2}[a-z]?|[IVX]{1,4})"
_NUMBERED_KIND = re.compile(rf"(?P<head>[^\W\d_]{{3,}}) {_KIND_NUMBER}")
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
_GENERAL_WORDS = frozenset(
    """
    study studies trial trials took take taken part many much long often common safe serious work works worked help
    helps effect risk better worse lower higher raise reduce increase decrease change known use used needed need
    drug drugs medicine medication intervention sample placebo also
    randomised randomized blinded authors included followed lasted sure really more detail details
    safer safest best cheaper cheapest faster stronger preferred recommended alternative alternatives option options
    """.split()  # noqa: SIM905
)
_ATTRIBUTE_OF_SUBJECT = re.compile(
    r"\b(?P<attribute>[\w-]+) of (?P<subject>[\w -]+?)(?= (?:in|for|among|after|with|during)\b|\?|$)"
)
# A question that names one subject and nothing else: "What is sepsis?", "What are the symptoms of gout?".
_NAMES_ONE_SUBJECT = re.compile(
    r"(?:what (?:is|are)(?: the(?: [\w-]+){1,3} of)?|what causes|what (?:is|are) the causes of|how (?:is|are|do|does))"
    r" (?P<subject>(?!the |an? |it |its |they |their |this )[\w’'-]+(?: [\w’'-]+){0,2}?)"
    r"(?: (?:treated|diagnosed|managed|prevented|work))?\??",
    re.IGNORECASE,
)
_POSSESSIVE_ATTRIBUTE = re.compile(r"\b(?:its|their) (?P<attribute>[\w -]+?)(?=\?|$)", re.IGNORECASE)
_BARE_ATTRIBUTE = re.compile(r"(?P<start>what (?:is|are) the (?P<attribute>[\w -]+?))\??", re.IGNORECASE)
_WORD = re.compile(r"\w[\w'’-]*")
_MAX_CHARACTERS = 2000  # of a follow-up or earlier question; a longer message is a text, not a question
_MIN_SUBJECT_WORDS = 3  # an earlier question with fewer subject words may not name its subject
_MAX_FRAGMENT_WORDS = 3  # of a new subject
_MIN_CONTENT_WORDS = 3  # words before the population of a complete question, as in "aspirin prevents stroke"
NOT_COMPLETED = "the follow-up could not be completed by rule: it is asked together with the question before it"


@dataclass(frozen=True, slots=True)
class RewrittenQuestion:
    """A self-contained question, and a note on the rewriting; the note is None if the message is self-contained."""

    question: str
    note: str | None = None


def complete(earlier: Sequence[str], message: str) -> RewrittenQuestion:
    """``message`` made self-contained from the ``earlier`` self-contained questions, oldest first."""
    message = " ".join(message.split())
    last = next((one for one in reversed(earlier) if len(one) <= _MAX_CHARACTERS), None)
    if last is None or len(message) > _MAX_CHARACTERS or _is_self_contained(message):
        return RewrittenQuestion(message)
    topic = _topic(last)
    fragment = _CLOSING.sub("", _OPENING.sub("", message).rstrip(" ?.!"))
    completed = (
        _with_other_kind(topic, fragment)
        or _with_other_people(topic, fragment)
        or _with_other_subject(topic, fragment)
        or _with_its_subject(topic, _OPENING.sub("", message))
    )
    if completed is not None:
        return RewrittenQuestion(completed, f"read as: {completed}")
    return RewrittenQuestion(" ".join([*_new_words(topic, message), topic, _capital(message)]), NOT_COMPLETED)


def _new_words(topic: str, message: str) -> list[str]:
    """The subject words that the message has and the topic lacks, as one question.

    If there are more than three, the whole message. If the message is a question in another language, none, since the
    lists of general words and verbs are English.
    """
    question = _OPENING.sub("", message)
    if _FOREIGN_REFERENCE.search(question) or (asks_for_fact(question) and not _VERB.search(question)):
        return []
    known, subjects = set(terms(topic)), _subjects(message)
    words = [word for word in content_words(question) if word.lower() in subjects and not _VERB.fullmatch(word)]
    new = [word for word in words if not known & set(terms(word))]
    if len(new) > _MAX_FRAGMENT_WORDS:
        return [_capital(message)]
    return [f"{_capital(' '.join(new))}?"] if new else []


def _topic(question: str) -> str:
    """Of the questions in a text, the last that names its subject; if none does, that with the most subject words."""
    parts = [part for part in re.split(r"(?<=\?)\s+", question.strip()) if part]
    named = [part for part in parts if len(_subjects(part)) >= _MIN_SUBJECT_WORDS]
    return named[-1] if named else max(parts, key=lambda part: len(_subjects(part)), default=question)


def content_words(text: str) -> list[str]:
    """The words of a text without English stop words."""
    return [match[0] for match in _WORD.finditer(unicodedata.normalize("NFKC", text)) if terms(match[0])]


def without_population(question: str) -> str:
    """The question without its population ("in older adults") and without the words after it."""
    population = _POPULATION.search(question)
    return question if population is None else re.sub(r"\s+(?:in|for|among|of)\s*$", "", question[: population.start()])


def _is_self_contained(message: str) -> bool:
    """Whether a message refers to no earlier message and names its subject."""
    if _REFERENCE.search(message) or _FOREIGN_REFERENCE.search(message):
        return False
    if _PREPOSITIONAL_PHRASE.match(message) and not _VERB.search(message):
        return False
    subjects = len(_subjects(message))
    if _OPENING.match(message) and not _YES_NO.match(_OPENING.sub("", message)):
        return False
    if _QUESTION_WORD.match(message) or _NAMES_ONE_SUBJECT.fullmatch(message):
        return subjects >= 1
    is_short = len(message.split()) <= 2 * _MAX_FRAGMENT_WORDS
    return subjects >= (3 if is_short and not _YES_NO.match(message) else 2)  # short messages are often fragments


def _subjects(message: str) -> set[str]:
    """The words that name the subject of a message: not people, attributes or general words."""
    text = _OPENING.sub("", re.sub(rf"\b{_PEOPLE}\b", " ", message, flags=re.IGNORECASE))
    return {word.lower() for word in content_words(text)} - _ATTRIBUTES - _GENERAL_WORDS


def _with_other_kind(question: str, fragment: str) -> str | None:
    """The question with the kind in the fragment: second-line for first-line, hepatitis C for hepatitis B."""
    fragment = re.sub(rf"^{_PREPOSITION} ", "", fragment, flags=re.IGNORECASE)
    if new := _HYPHENATED_KIND.fullmatch(fragment):
        old = re.search(rf"\b\w+-{new['head']}{new['rest']}\b", question, re.IGNORECASE)
    elif new := _NUMBERED_KIND.fullmatch(fragment):
        old = re.search(rf"\b{new['head']} {_KIND_NUMBER}\b", question, re.IGNORECASE)
    else:
        return None
    return None if old is None else question[: old.start()] + _with_case_of(old[0], fragment) + question[old.end() :]


def _with_case_of(old: str, new: str) -> str:
    """The new words with a capital initial if the old words have one."""
    return _capital(new) if old[0].isupper() else new[0].lower() + new[1:]


def _with_other_people(question: str, fragment: str) -> str | None:
    """The question with the population that the fragment names; None if it names none or its place is unclear."""
    new = _OTHER_PEOPLE.fullmatch(fragment)
    if new is None or not (new["group"] or new["condition"]):
        return None
    old = _POPULATION.search(question)
    people = f"{new['group'] or 'people'} with {new['condition']}" if new["condition"] else new["group"]
    if old is None:
        return f"{_SITUATION.sub('', question).rstrip(' ?.')} in {people}?"
    if not new["condition"]:
        return question[: old.start("group")] + new["group"] + question[old.end("group") :]
    ends_question = not question[old.end() :].strip(" ?.")
    if not ends_question or len(content_words(question[: old.start()])) < _MIN_CONTENT_WORDS:
        return None  # the words after "with" may be more than the old condition
    group = new["group"] or old["group"]
    return f"{question[: old.start()]}{group} with {new['condition']}?"


def _with_other_subject(question: str, fragment: str) -> str | None:
    """The question with the subject that the fragment names: "dose of aspirin" for "dose of metformin"."""
    words = _WORD.findall(fragment)
    if _KIND_OF_TREATMENT.fullmatch(fragment):
        return None
    old = _ATTRIBUTE_OF_SUBJECT.search(question)
    if old is None or old["attribute"].lower() not in _ATTRIBUTES or not 0 < len(words) <= _MAX_FRAGMENT_WORDS:
        return None
    lowered = {word.lower() for word in words}
    if lowered & (_ATTRIBUTES | _GENERAL_WORDS) or len(content_words(fragment)) < len(words):
        return None
    return question[: old.start("subject")] + fragment + question[old.end("subject") :]


def _with_its_subject(question: str, message: str) -> str | None:
    """The message with the question's subject, if the message says "its" or names an attribute without a subject."""
    named = _NAMES_ONE_SUBJECT.fullmatch(question)
    if named is None:
        return None
    possessive, bare = _POSSESSIVE_ATTRIBUTE.search(message), _BARE_ATTRIBUTE.fullmatch(message)
    found = possessive or bare
    if found is None or not {word.lower() for word in _WORD.findall(found["attribute"])} <= _ATTRIBUTES:
        return None
    start = f"{message[: found.start()]}the {found['attribute']}" if possessive else found["start"]
    return _capital(f"{start} of {named['subject']}?")


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
