"""How often the agent abstains without evidence, and its accuracy against the plain chain.

    python benchmarks/agent.py --adapter ADAPTER

The abstracts of 50 of 200 test questions of the sample are left out of the corpus. The agent (``agent.kind: graph``)
answers all 200 questions and verifies with the adapter; the plain chain answers the other 150 from the best passage.
The difference between the accuracy of the agent's answers to those 150 and that of the plain chain has a paired
bootstrap interval. ``agent.relevance`` and ``agent.confidence`` were chosen on the training split. ``--split newnames``
and ``newphrases`` ask the sample's further test questions, whose abstracts are added to the corpus.
"""

import random
import time
from collections.abc import Sequence

import bench
import numpy as np

from chains.answer import Answer
from corpus.load import load_records
from corpus.pubmedqa import read_records
from corpus.records import QARecord, documents
from corpus.sample import sample_path
from eval.stats.estimate import Estimate, from_resamples, proportion, resampled
from eval.tables import with_interval
from eval.tasks.qa import VARIANTS
from medground.ingest import Corpus, data_corpus
from medground.pipeline import Pipeline
from medground.settings import load_settings


def main() -> None:
    """Ask all questions and print the figures."""
    parser = bench.parser(__doc__)
    parser.add_argument("--adapter", help="adapter of medground train qlora; without one nothing is verified")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--absent", type=int, default=50)
    parser.add_argument("--split", default="test", choices=("train", "dev", "test", *VARIANTS))
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--store", default=".medground/store", help="folder of the embedded abstracts")
    parser.add_argument("--trace", help="JSONL file for the agent's steps")
    options = parser.parse_args()
    settings = load_settings(None, {"store.path": options.store, "agent.kind": "graph", "agent.trace": options.trace})
    if options.adapter:
        settings = load_settings(
            None, settings.model_dump(), {"chain.verify": "report", "nli.adapter": options.adapter}
        )
    unseen = read_records(sample_path(options.split)) if options.split in VARIANTS else []
    asking = unseen or list(load_records(settings.data, split=options.split))
    records = random.Random(options.seed).sample(asking, options.questions)
    absent, present = records[: options.absent], records[options.absent :]
    absent_ids = {record.id for record in absent}
    corpus = data_corpus(settings)
    abstracts = [*corpus.passages, *documents(unseen)]
    corpus = Corpus(f"{corpus.name}-lacking", [one for one in abstracts if one.id not in absent_ids])
    pipeline = Pipeline.from_settings(settings, corpus, quiet=True)
    agent = pipeline.agent()
    started = time.perf_counter()
    answers = agent.batch([record.question for record in records])
    seconds = time.perf_counter() - started
    plain = pipeline.chain(verify="off").batch([one.question for one in present])
    abstained = [answer.label is None for answer in answers[: len(absent)]]
    given = answers[len(absent) :]
    answered = [answer.label is not None for answer in given]
    right, plain_right = _right(given, present), _right(plain, present)
    _print("abstained, abstract not in the corpus", sum(abstained), len(absent))
    _print("answered, abstract in the corpus", sum(answered), len(present))
    _print("accuracy of these answers", sum(right), sum(answered))
    _print("accuracy of the plain chain, abstract in the corpus", sum(plain_right), len(present))
    gain = _gain(answered, right, plain_right)
    print(f"difference {with_interval(gain, signed=True)}")
    print(f"{seconds / len(records):.2f} s a question")
    figures = {"abstained": sum(abstained), "answered": sum(answered), "right": sum(right)}
    figures |= {"plain_right": sum(plain_right), "absent": len(absent), "present": len(present)}
    bench.write_report(options.output, {**figures, "gain": gain.value})


def _right(answers: Sequence[Answer], records: Sequence[QARecord]) -> list[bool]:
    return [answer.label == record.label for answer, record in zip(answers, records, strict=True)]


def _gain(answered: Sequence[bool], right: Sequence[bool], plain_right: Sequence[bool]) -> Estimate:
    """Accuracy of the agent's answers minus that of all plain answers, bootstrapped over the questions."""
    cells = np.zeros((2, 2, 2), dtype=np.int64)
    np.add.at(cells, tuple(np.array([answered, right, plain_right], dtype=np.int64)), 1)

    def gains(counts: np.ndarray) -> np.ndarray:
        drawn = counts.reshape(-1, 2, 2, 2)
        of_agent = drawn[:, 1, 1].sum(axis=1) / drawn[:, 1].sum(axis=(1, 2))
        gain: np.ndarray = of_agent - drawn[..., 1].sum(axis=(1, 2)) / drawn.sum(axis=(1, 2, 3))
        return gain

    return from_resamples(float(gains(cells)[0]), resampled(cells.ravel(), gains))


def _print(what: str, count: int, of: int) -> None:
    print(f"{what}: {count} of {of}, {with_interval(proportion(count, of))}")


if __name__ == "__main__":
    bench.run(main)
