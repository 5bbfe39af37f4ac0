"""From what a model wrote to the label it meant, or to none."""

import re
from collections.abc import Sequence

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
