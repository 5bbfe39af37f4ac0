"""Accuracy@1 of retrieval for follow-up questions, as written and as completed by rules.

    python benchmarks/followups.py

The conversations about the sample's abstracts are generated (``tools/sample/conversations.py``). The dense retriever
searches all 600 abstracts for each message, as written and as completed by ``chains.rewriting.followup_rules`` from the
questions before it. A result is correct if the message's abstract ranks first. The rules were written without knowledge
of the generator's wording, drugs and outcomes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bench

from chains.rewriting.followup_rules import complete
from eval.stats.estimate import proportion
from eval.stats.significance import mean_difference
from eval.tables import with_interval
from medground.ingest import data_corpus
from medground.pipeline import Pipeline
from medground.settings import load_settings
from retrievers.base import Retriever
from tools.sample.conversations import SEED, Message, draw_conversations


@dataclass(frozen=True)
class Turn:
    """A message and its completed question, and whether a search for either ranks its abstract first."""

    message: Message
    question: str
    message_is_correct: bool
    question_is_correct: bool


def measure(retriever: Retriever, conversations: Sequence[Sequence[Message]]) -> list[Turn]:
    """All turns of the conversations."""
    messages = [message for conversation in conversations for message in conversation]
    questions: list[str] = []
    for conversation in conversations:
        earlier: list[str] = []
        for message in conversation:
            earlier.append(complete(earlier, message.text).question)
        questions += earlier
    for_messages = retriever.search([message.text for message in messages], 1)
    for_questions = retriever.search(questions, 1)
    return [
        Turn(message, question, by_message.id == message.abstract, by_question.id == message.abstract)
        for message, question, (by_message,), (by_question,) in zip(
            messages, questions, for_messages, for_questions, strict=True
        )
    ]


def main() -> None:
    """Measure, print and write the figures."""
    parser = bench.make_parser(__doc__)
    parser.add_argument("--conversations", type=int, default=20)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--store", default=".medground/store", help="folder of the embedded abstracts")
    parser.add_argument("--missed", action="store_true", help="print the turns whose abstract was not found first")
    options = parser.parse_args()
    settings = load_settings(None, {"store.path": options.store})
    retriever = Pipeline.from_settings(settings, data_corpus(settings), quiet=True).retriever("dense")
    turns = measure(retriever, draw_conversations(options.conversations, options.turns, options.seed))
    report: dict[str, Any] = {}
    for kind in ("all turns", "follow-ups", *dict.fromkeys(turn.message.kind for turn in turns)):
        selected = [turn for turn in turns if kind in ("all turns", turn.message.kind)]
        if kind == "follow-ups":
            selected = [turn for turn in turns if turn.message.kind != "question"]
        raw = [turn.message_is_correct for turn in selected]
        completed = [turn.question_is_correct for turn in selected]
        difference = with_interval(mean_difference(raw, completed), signed=True)
        report[kind] = {"turns": len(selected), "raw": sum(raw), "completed": sum(completed)}
        shares = [with_interval(proportion(sum(correct), len(correct))) for correct in (raw, completed)]
        print(f"{kind:24} {len(selected):4}  as written {shares[0]}  completed {shares[1]}  difference {difference}")
    bench.write_report(options.output, report)
    for turn in turns if options.missed else ():
        if not turn.question_is_correct:
            print(f"missed {turn.message.abstract} ({turn.message.kind}): {turn.message.text} -> {turn.question}")


if __name__ == "__main__":
    bench.run(main)
