"""Does the agent withhold what has no evidence, and are the answers that it gives better than plain ones?

    python benchmarks/agent.py --adapter ADAPTER

Of 200 test questions of the sample 50 lose their abstract: it is not among those searched. The agent
(``agent.kind: graph``) is asked all 200, judging with the adapter; the plain chain answers the 150 whose abstract is
there from the best passage, whatever it is. The difference in accuracy, of the agent's answers among those 150 less
plain answers to all of them, has a bootstrap interval that draws questions with both sides' results together.
``agent.relevance`` and ``agent.confidence`` were set on the training split, none of whose questions are asked here.
``--split newnames`` and ``newphrases`` ask the sample's further test questions; their abstracts join those searched.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

# Python puts this file's folder first, where finetune.py would be taken for the package of its name.
sys.path[:] = [place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent]

from medground.environment import prepare  # noqa: E402

prepare()

import numpy as np  # noqa: E402  (telemetry is off before the libraries are imported)

from chains.answer import Answer  # noqa: E402
from corpus.load import load_records  # noqa: E402
from corpus.pubmedqa import read_records  # noqa: E402
from corpus.records import QARecord, documents  # noqa: E402
from corpus.sample import sample_path  # noqa: E402
from eval.stats.estimate import Estimate, from_resamples, proportion, resampled  # noqa: E402
from eval.tables import with_signed_interval  # noqa: E402
from eval.tasks.qa import VARIANTS  # noqa: E402
from medground.ingest import Corpus, data_corpus  # noqa: E402
from medground.pipeline import Pipeline  # noqa: E402
from medground.settings import load_settings  # noqa: E402

WANTED_WITHHELD, WANTED_ANSWERED = 0.8, 130 / 150


def main() -> int:
    """Print the figures; exit status 1 where they are not as wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", help="of medground train qlora; without one nothing is judged")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--absent", type=int, default=50)
    parser.add_argument("--split", default="test", choices=("train", "dev", "test", *VARIANTS))
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--store", default=".medground/store", help="where the embedded abstracts are kept")
    parser.add_argument("--trace", help="a JSONL file for the agent's steps")
    asked = parser.parse_args()
    settings = load_settings(None, {"store.path": asked.store, "agent.kind": "graph", "agent.trace": asked.trace})
    if asked.adapter:
        settings = load_settings(None, settings.model_dump(), {"chain.verify": "report", "nli.adapter": asked.adapter})
    unseen = read_records(sample_path(asked.split)) if asked.split in VARIANTS else []
    asking = unseen or list(load_records(settings.data, split=asked.split))
    records = random.Random(asked.seed).sample(asking, asked.questions)
    absent, there = records[: asked.absent], records[asked.absent :]
    gone = {record.id for record in absent}
    corpus = data_corpus(settings)
    abstracts = [*corpus.passages, *documents(unseen)]
    corpus = Corpus(f"{corpus.name}-lacking", [one for one in abstracts if one.id not in gone])
    pipeline = Pipeline.from_settings(settings, corpus, quiet=True)
    agent = pipeline.agent()
    started = time.perf_counter()
    answers = agent.batch([record.question for record in records])
    seconds = time.perf_counter() - started
    plain = pipeline.chain(verify="off").batch([one.question for one in there])
    withheld = [answer.label is None for answer in answers[: len(absent)]]
    given = answers[len(absent) :]
    answered = [answer.label is not None for answer in given]
    right, plainly = _right(given, there), _right(plain, there)
    _print("withheld of those without their abstract", sum(withheld), len(absent))
    _print("answered of those with it", sum(answered), len(there))
    _print("accuracy of those answered", sum(right), sum(answered))
    _print("accuracy of the plain chain on all of them", sum(plainly), len(there))
    gain = _gain(answered, right, plainly)
    print(f"difference {with_signed_interval(gain)}")
    print(f"{seconds / len(records):.2f} s a question")
    enough = sum(withheld) >= WANTED_WITHHELD * len(absent) and sum(answered) >= WANTED_ANSWERED * len(there)
    return 0 if enough and gain.value > 0 else 1


def _right(answers: Sequence[Answer], records: Sequence[QARecord]) -> list[bool]:
    return [answer.label == record.label for answer, record in zip(answers, records, strict=True)]


def _gain(answered: Sequence[bool], right: Sequence[bool], plainly: Sequence[bool]) -> Estimate:
    """The accuracy of what the agent answered less that of all plain answers; both change with the questions drawn."""
    cells = np.zeros((2, 2, 2), dtype=np.int64)
    for cell in zip(answered, right, plainly, strict=True):
        cells[tuple(map(int, cell))] += 1

    def gains(counts: np.ndarray) -> np.ndarray:
        drawn = counts.reshape(*counts.shape[:-1], 2, 2, 2)
        return drawn[..., 1, 1, :].sum(-1) / drawn[..., 1, :, :].sum((-1, -2)) - drawn[..., 1].sum(
            (-1, -2)
        ) / drawn.sum((-1, -2, -3))

    value = float(gains(cells.reshape(1, -1))[0])
    return from_resamples(value, resampled(cells.reshape(-1), gains))


def _print(what: str, count: int, of: int) -> None:
    share = proportion(count, of)
    print(f"{what}: {count} of {of}, {share.value:.3f} ({share.low:.3f} to {share.high:.3f})")


if __name__ == "__main__":
    sys.exit(main())
