"""How often the agent abstains without evidence, and its accuracy compared with the chain's.

    python benchmarks/agent.py --adapter ADAPTER

The abstracts of 50 of 200 test questions of the sample are left out of the corpus. The agent (``agent.kind: graph``)
answers all 200 questions and verifies its answers with the adapter; the chain answers the other 150 questions from the
best passage, without verification. The difference in accuracy on those 150 has a paired bootstrap interval.
``agent.relevance`` and ``agent.confidence`` were chosen on the training split. ``--split newnames`` and ``newphrases``
ask the sample's further test questions, whose abstracts are added to the corpus.
"""

import random
import time
from collections.abc import Sequence

import bench
import numpy as np

from chains.answer import Answer
from common.errors import UserError
from corpus.load import load_records
from corpus.pubmedqa import read_records
from corpus.records import QARecord, documents
from corpus.sample import sample_path
from eval.stats.estimate import Counts, Estimate, Floats, bootstrap, proportion
from eval.tables import with_interval
from eval.tasks.qa import VARIANTS
from medground.ingest import Corpus, data_corpus
from medground.pipeline import Pipeline
from medground.settings import load_settings


def main() -> None:
    """Ask all questions and print the figures."""
    parser = bench.make_parser(__doc__)
    parser.add_argument("--adapter", help="adapter of medground train qlora; without one nothing is verified")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--absent", type=int, default=50, help="number of questions whose abstract is left out")
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
    variant = read_records(sample_path(options.split)) if options.split in VARIANTS else []
    split = variant or list(load_records(settings.data, split=options.split))
    if not 0 < options.absent < options.questions <= len(split):
        raise UserError(f"The split has {len(split)} questions. Set --questions to at most that, --absent below it.")
    records = random.Random(options.seed).sample(split, options.questions)
    absent, present = records[: options.absent], records[options.absent :]
    absent_ids = {record.id for record in absent}
    corpus = data_corpus(settings)
    abstracts = [*corpus.passages, *documents(variant)]
    corpus = Corpus(f"{corpus.name}-lacking", [each for each in abstracts if each.id not in absent_ids])
    pipeline = Pipeline.from_settings(settings, corpus, quiet=True)
    agent = pipeline.agent()
    started = time.perf_counter()
    answers = agent.batch([record.question for record in records])
    seconds = time.perf_counter() - started
    chain_answers = pipeline.chain(verify="off").batch([record.question for record in present])
    abstained = [answer.label is None for answer in answers[: len(absent)]]
    agent_answers = answers[len(absent) :]
    answered = [answer.label is not None for answer in agent_answers]
    agent_correct, chain_correct = _correct(agent_answers, present), _correct(chain_answers, present)
    _print_share("abstained, abstract not in the corpus", sum(abstained), len(absent))
    _print_share("answered, abstract in the corpus", sum(answered), len(present))
    if not any(answered):
        raise UserError("The agent answered none of these questions, so there is no accuracy to compare.")
    _print_share("accuracy of these answers", sum(agent_correct), sum(answered))
    _print_share("accuracy of the plain chain, abstract in the corpus", sum(chain_correct), len(present))
    gain = _gain(answered, agent_correct, chain_correct)
    print(f"difference {with_interval(gain, signed=True)}")
    print(f"{seconds / len(records):.2f} s a question")
    figures = {"abstained": sum(abstained), "answered": sum(answered), "right": sum(agent_correct)}
    figures |= {"plain_right": sum(chain_correct), "absent": len(absent), "present": len(present)}
    bench.write_report(options.output, {**figures, "gain": gain.value})


def _correct(answers: Sequence[Answer], records: Sequence[QARecord]) -> list[bool]:
    return [answer.label == record.label for answer, record in zip(answers, records, strict=True)]


def _gain(answered: Sequence[bool], agent_correct: Sequence[bool], chain_correct: Sequence[bool]) -> Estimate:
    """Accuracy of the agent's answers minus that of the chain's, with a bootstrap interval over the questions.

    The agent's accuracy is over the questions that it answered, the chain's over all.
    """
    # Numbers of questions by (answered, agent_correct, chain_correct).
    observed = np.zeros((2, 2, 2), dtype=np.int64)
    np.add.at(observed, tuple(np.array([answered, agent_correct, chain_correct], dtype=np.int64)), 1)

    def gains(drawn: Counts) -> Floats:
        tables = drawn.reshape(-1, 2, 2, 2)
        agent_accuracy = tables[:, 1, 1].sum(axis=1) / tables[:, 1].sum(axis=(1, 2))
        chain_accuracy = tables[..., 1].sum(axis=(1, 2)) / tables.sum(axis=(1, 2, 3))
        return np.asarray((agent_accuracy - chain_accuracy)[:, None])

    [gain] = bootstrap(observed.ravel(), gains)
    return gain


def _print_share(title: str, count: int, total: int) -> None:
    print(f"{title}: {count} of {total}, {with_interval(proportion(count, total))}")


if __name__ == "__main__":
    bench.run(main)
