"""Accuracy@1 of follow-up questions, as written and completed by rules.

    python benchmarks/followups.py

Generated conversations on the sample (``tools/sample/conversations.py``); the embedded default's dense retriever
searches all 600 abstracts for each message, as written and as completed by ``chains.rewriting.followup_rules`` from the
questions before it. A turn is right if its abstract comes first. The rules were written without the
generator's wording, drugs and outcomes.
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
    """A message, the completed question, and whether each finds its abstract first."""

    message: Message
    question: str
    raw: bool = False
    completed: bool = False


def measure(retriever: Retriever, conversations: Sequence[Sequence[Message]]) -> list[Turn]:
    """All turns of the conversations."""
    turns: list[Turn] = []
    for conversation in conversations:
        earlier: list[str] = []
        for message in conversation:
            earlier.append(complete(earlier, message.text).question)
            turns.append(Turn(message, earlier[-1]))
    raw = retriever.search([turn.message.text for turn in turns], 1)
    completed = retriever.search([turn.question for turn in turns], 1)
    return [
        Turn(turn.message, turn.question, said[0].id == turn.message.abstract, put[0].id == turn.message.abstract)
        for turn, said, put in zip(turns, raw, completed, strict=True)
    ]


def main() -> None:
    """Print the shares with 95% intervals."""
    parser = bench.parser(__doc__)
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
        chosen = [turn for turn in turns if kind in ("all turns", turn.message.kind)]
        if kind == "follow-ups":
            chosen = [turn for turn in turns if turn.message.kind != "question"]
        raw, completed = [turn.raw for turn in chosen], [turn.completed for turn in chosen]
        difference = with_interval(mean_difference(raw, completed), signed=True)
        report[kind] = {"turns": len(chosen), "raw": sum(raw), "completed": sum(completed)}
        shares = [with_interval(proportion(sum(right), len(right))) for right in (raw, completed)]
        print(f"{kind:24} {len(chosen):4}  as written {shares[0]}  completed {shares[1]}  difference {difference}")
    bench.write_report(options.output, report)
    for turn in turns if options.missed else ():
        if not turn.completed:
            print(f"missed {turn.message.abstract} ({turn.message.kind}): {turn.message.text} -> {turn.question}")


if __name__ == "__main__":
    bench.run(main)
