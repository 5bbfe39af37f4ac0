"""Do follow-up questions find their abstract, as they stand and made self-contained?

    python benchmarks/followups.py

Generated conversations on the sample (``tools/sample/conversations.py``); each message is searched for among all 600
abstracts by the embedded default's dense retriever, once as it is said and once as ``chains.rewriting.followup_rules``
completes it from the questions before it. A turn counts where the abstract that is meant comes first. The rules know
nothing of the generator's wording, drugs and outcomes.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Python puts this file's folder first, where finetune.py would be taken for the package of its name.
sys.path[:] = [place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent]

from medground.environment import prepare  # noqa: E402

prepare()

from chains.rewriting.followup_rules import complete  # noqa: E402  (telemetry is off before the libraries are imported)
from eval.stats.estimate import Estimate, proportion  # noqa: E402
from eval.stats.significance import mean_difference  # noqa: E402
from medground.ingest import data_corpus  # noqa: E402
from medground.pipeline import Pipeline  # noqa: E402
from medground.settings import load_settings  # noqa: E402
from retrievers.base import Retriever  # noqa: E402
from tools.sample.conversations import SEED, Message, draw_conversations  # noqa: E402

WANTED = 0.6


@dataclass(frozen=True)
class Turn:
    """A message, what it was completed to, and whether either finds its abstract first."""

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


def main() -> int:
    """Print the shares with 95% intervals; exit status 1 where too few are found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=20)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--store", default=".medground/store", help="where the embedded abstracts are kept")
    parser.add_argument("--missed", action="store_true", help="print the turns whose abstract was not found first")
    asked = parser.parse_args()
    settings = load_settings(None, {"store.path": asked.store})
    retriever = Pipeline.from_settings(settings, data_corpus(settings), quiet=True).retriever("dense")
    turns = measure(retriever, draw_conversations(asked.conversations, asked.turns, asked.seed))
    for kind in ("all turns", "all but whole questions", *dict.fromkeys(turn.message.kind for turn in turns)):
        chosen = [turn for turn in turns if kind in ("all turns", turn.message.kind)]
        if kind == "all but whole questions":
            chosen = [turn for turn in turns if turn.message.kind != "question"]
        raw, completed = [turn.raw for turn in chosen], [turn.completed for turn in chosen]
        difference = mean_difference(raw, completed)
        print(
            f"{kind:24} {len(chosen):4}  as said {_told(proportion(sum(raw), len(raw)))}  completed "
            f"{_told(proportion(sum(completed), len(completed)))}  difference {_told(difference)}"
        )
    for turn in turns if asked.missed else ():
        if not turn.completed:
            print(f"missed {turn.message.abstract} ({turn.message.kind}): {turn.message.text} -> {turn.question}")
    return 0 if sum(turn.completed for turn in turns) >= WANTED * len(turns) else 1


def _told(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


if __name__ == "__main__":
    sys.exit(main())
