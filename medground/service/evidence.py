"""What stands beside an answer on the page: verdict, and the passages with the quoted sentences marked."""

from collections.abc import Iterator, Sequence
from html import escape

from chains.answer import Answer, Citation, Passage, Verdict
from chains.chat.turn import Turn

_SIGNS: dict[Verdict, str] = {"supported": "✓", "contradicted": "✗", "not enough evidence": "?"}
NOTHING = "<p class='mg-none'>The passages that an answer is drawn from are shown here.</p>"


def evidence_html(turn: Turn | None) -> str:
    """The evidence of a turn as HTML; whatever comes from documents, models or users is escaped."""
    if turn is None or turn.answer is None:
        return NOTHING
    answer = turn.answer
    parts = [_verdict(answer), *(_passage(answer, passage, numbers) for numbers, passage in _numbered(answer))]
    parts += [f"<p class='mg-note'>{escape(note)}</p>" for note in (*turn.notes, *answer.notes)]
    return f"<div class='mg-evidence'>{''.join(parts)}</div>"


def _verdict(answer: Answer) -> str:
    shares = ", ".join(f"{label} {share:.0%}" for label, share in answer.label_scores.items())
    label = f"<p class='mg-shares'>{escape(shares)}</p>" if shares else ""
    if answer.verdict is None:
        return label
    kind = answer.verdict.split()[0]
    return f"<p class='mg-verdict mg-{kind}' role='status'>{_SIGNS[answer.verdict]} {escape(answer.verdict)}</p>{label}"


def _numbered(answer: Answer) -> Iterator[tuple[list[int], Passage]]:
    """Each passage with the numbers of its citations, those that are cited first."""
    numbers: dict[str, list[int]] = {passage.id: [] for passage in answer.passages}
    for number, citation in enumerate(answer.citations, start=1):
        numbers.setdefault(citation.passage_id, []).append(number)
    for passage in sorted(answer.passages, key=lambda passage: (not numbers[passage.id], *numbers[passage.id][:1])):
        yield numbers[passage.id], passage


def _passage(answer: Answer, passage: Passage, numbers: Sequence[int]) -> str:
    quoted = [citation for citation in answer.citations if citation.passage_id == passage.id]
    verification = answer.verification
    deciding = verification.sentence if verification and verification.passage_id == passage.id else None
    cited = "".join(f"[{number}] " for number in numbers)
    score = "" if passage.score is None else f" <span class='mg-score'>{passage.score:.3f}</span>"
    text = _marked(passage.text, quoted, deciding)
    opened = " open" if numbers else ""
    origin = f"<p class='mg-origin'>{escape(passage.origin)}</p>" if passage.origin else ""
    return f"<details{opened}><summary>{cited}{escape(passage.id)}{score}</summary>{origin}<p>{text}</p></details>"


def _marked(text: str, quoted: Sequence[Citation], deciding: Citation | None) -> str:
    """The text with its quotes marked, and the sentence that decided the verdict in a way of its own."""
    spans = {(citation.start, citation.end): "mg-quote" for citation in quoted}
    if deciding is not None:
        span = deciding.start, deciding.end
        spans[span] = f"{spans.get(span, '')} mg-deciding".strip()
    html, place = [], 0
    for (start, end), kind in sorted(spans.items()):
        if start < place:  # sentences do not overlap, but what is not ours to promise is not relied on
            continue
        html += [escape(text[place:start]), f"<mark class='{kind}'>{escape(text[start:end])}</mark>"]
        place = end
    return "".join([*html, escape(text[place:])])
