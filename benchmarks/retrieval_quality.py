"""Retrieval quality on PubMedQA: selection of the settings, and the gain from training the embedder.

    python benchmarks/retrieval_quality.py --data PATH/ori_pqal.json --work FOLDER --output quality.json

Every question is asked against all 1,000 abstracts. ``--parts`` selects the last two of three parts:

- untuned: fusions of the packaged MiniLM with BM25 are compared on the questions outside the official test split. The
  best by accuracy@1, then MRR, then the order of the grid is selected; nested cross-validation estimates its accuracy.
- tuned: recipes of ``medground train embedder`` are compared by cross-validation on the same questions; the best is
  then trained on all of them. The fusion of each is selected on the held-out folds too. No part trains on questions or
  conclusions of the test split.
- distractors: the same questions among 20,000 further abstracts (benchmarks/distractors.py).

FOLDER keeps vectors and models, so that an interrupted run continues. On 2 idle cores: untuned 2 minutes, tuned about
an hour, distractors half an hour.
"""

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import bench
from distractors import distractors
from langchain_core.documents import Document

from corpus.config import DataConfig
from corpus.load import load_records
from corpus.records import QARecord, documents
from eval.stats.estimate import proportion
from eval.stats.significance import mcnemar, mean_difference
from eval.tables import with_interval
from finetune.config import EmbedderTrainConfig
from finetune.embedder.train import train_embedder
from retrievers import make_retrievers
from retrievers.base import Retriever
from retrievers.config import EmbedderConfig, RetrieverConfig, StoreConfig
from retrievers.kinds.bm25 import BM25Config
from retrievers.kinds.dense import DenseConfig
from retrievers.kinds.fusion import Fusion, weighted_scores
from retrievers.kinds.parent import ParentConfig

DEPTH = 1000
FOLDS = 3
NESTED = 5
BM25 = ((0.9, 0.4), (0.9, 0.9), (1.2, 0.75), (1.5, 0.75))  # k1 and b
WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5)
CANDIDATES = (20, 50, 100)
FUSIONS: tuple[Fusion, ...] = ("zscore", "minmax", "rrf")
RECIPES: dict[str, dict[str, Any]] = {
    "questions": {"pairs": ("question",)},
    "questions and conclusions, one epoch": {"epochs": 1},
    "questions and conclusions": {},
    "with a BM25 negative": {"negatives": 1},
}
Found = Mapping[str, list[Document]]
"""A retriever's results for each question, by the record's id."""


@dataclass(frozen=True)
class Choice:
    """A fusion of a dense retriever with BM25; ``bm25`` is the latter's weight, of 1."""

    fusion: Fusion
    k1: float
    b: float
    bm25: float
    candidates: int


class Experiment:
    """The records, the corpus and the folder that all parts share."""

    def __init__(self, data: Path, work: Path) -> None:
        config = DataConfig(path=str(data))
        self.records = load_records(config, "all")
        self.test = load_records(config, "test")
        held_out = {record.id for record in self.test}
        self.train = [record for record in self.records if record.id not in held_out]
        self.work = work

    def retrievers(
        self, configs: Mapping[str, RetrieverConfig], extra: Sequence[Document] = (), model: str = "embedded"
    ) -> dict[str, Retriever]:
        """Over all abstracts and ``extra``; dense ones embed with ``model``."""
        return make_retrievers(
            configs,
            list(configs),
            [*documents(self.records), *extra],
            corpus=f"pubmedqa with {len(extra)} more",
            embedders={"minilm": EmbedderConfig(model=model)},
            store=StoreConfig(path=str(self.work / "store")),
        )

    def find(self, retriever: Retriever, records: Sequence[QARecord], depth: int = DEPTH) -> dict[str, list[Document]]:
        """The results for each record's question."""
        found = retriever.search([record.question for record in records], depth)
        return {record.id: ones for record, ones in zip(records, found, strict=True)}

    def bm25(self, records: Sequence[QARecord]) -> dict[tuple[float, float], Found]:
        """BM25's results by k1 and b."""
        made = self.retrievers({f"{k1} {b}": BM25Config(k1=k1, b=b) for k1, b in BM25})
        return {(k1, b): self.find(made[f"{k1} {b}"], records) for k1, b in BM25}

    def folds(self, count: int) -> list[list[QARecord]]:
        """The training records in ``count`` random parts of equal size."""
        order = list(self.train)
        random.Random(1).shuffle(order)
        return [order[place::count] for place in range(count)]


def fused(choice: Choice, dense: Sequence[Document], words: Sequence[Document]) -> list[str]:
    """Ids of the fused results, best first."""
    lists = [dense[: choice.candidates], words[: choice.candidates]]
    hits = weighted_scores(lists, [1 - choice.bm25, choice.bm25], choice.candidates, choice.fusion)
    return [str(hit.document.id) for hit in sorted(hits, key=lambda hit: (-hit.score, str(hit.document.id)))]


Ranks = Mapping[Choice, Sequence[int | None]]
"""By fusion the rank of each question's own abstract, from 1; None if it was not found."""


def grid() -> Iterator[Choice]:
    """All fusions that are tried."""
    for fusion, (k1, b), candidates, bm25 in product(FUSIONS, BM25, CANDIDATES, WEIGHTS):
        yield Choice(fusion, k1, b, bm25, candidates)


def ranks_by_fusion(dense: Found, words: Mapping[tuple[float, float], Found], ids: Sequence[str]) -> Ranks:
    """The rank of each question's own abstract under each fusion; None if it was not found."""
    ranks: dict[Choice, list[int | None]] = {}
    for choice in grid():
        found = [(id, fused(choice, dense[id], words[choice.k1, choice.b][id])) for id in ids]
        ranks[choice] = [ids_of.index(id) + 1 if id in ids_of else None for id, ids_of in found]
    return ranks


def merit(ranks: Sequence[int | None]) -> tuple[int, float]:
    """The number of questions whose own abstract is first, and the sum of the reciprocal ranks."""
    return ranks.count(1), sum(1 / one for one in ranks if one)


def best(ranks: Ranks, places: Sequence[int]) -> Choice:
    """The fusion with the most questions of ``places`` right; among equals, the one of the highest MRR."""
    return max(ranks, key=lambda choice: merit([ranks[choice][place] for place in places]))


def nested(ranks: Ranks, count: int) -> float:
    """Accuracy@1 of choices made on all folds but one, measured on that one."""
    order = list(range(count))
    random.Random(2).shuffle(order)
    right = 0
    for fold in range(NESTED):
        held = order[fold::NESTED]
        choice = best(ranks, [place for place in order if place not in set(held)])
        right += sum(ranks[choice][place] == 1 for place in held)
    return right / count


def untuned(experiment: Experiment) -> tuple[Choice, dict[str, dict[str, bool]], dict[str, Any]]:
    """The best fusion, whether each retriever is right on each record, and the figures of the selection."""
    configs: dict[str, RetrieverConfig] = {
        "dense": DenseConfig(),
        "bm25": BM25Config(),
        "sections": ParentConfig(parts="section"),
        "sentences": ParentConfig(parts="sentence"),
    }
    made = experiment.retrievers(configs)
    found = {
        name: experiment.find(made[name], experiment.records, DEPTH if name == "dense" else 100) for name in configs
    }
    words = experiment.bm25(experiment.records)
    ids = [record.id for record in experiment.train]
    ranks = ranks_by_fusion(found["dense"], words, ids)
    choice = best(ranks, range(len(ids)))
    right = {name: {id: bool(ones) and ones[0].id == id for id, ones in by_id.items()} for name, by_id in found.items()}
    reported = {"hybrid": choice}
    for fusion in FUSIONS:
        if fusion != choice.fusion:  # the best of the other two kinds
            of_kind = {one: ranks[one] for one in ranks if one.fusion == fusion}
            reported[f"hybrid by {fusion}"] = best(of_kind, range(len(ids)))
    for name, one in reported.items():
        right[name] = {id: fused(one, found["dense"][id], words[one.k1, one.b][id])[0] == id for id in found["dense"]}
    figures = {
        "choice": asdict(choice),
        "nested_accuracy@1": nested(ranks, len(ids)),
        "grid": [{**asdict(one), "right": ranks[one].count(1), "of": len(ids)} for one in ranks],
    }
    return choice, right, figures


def tuned(experiment: Experiment) -> tuple[str, Choice, dict[str, dict[str, bool]], dict[str, Any]]:
    """The best recipe's model and fusion, whether it is right on each test record, and the figures of the selection."""
    words = experiment.bm25(experiment.records)
    ids = [record.id for record in experiment.train]
    choices: dict[str, Choice] = {}
    cross_validation: dict[str, dict[str, Any]] = {}
    for name, changes in RECIPES.items():
        found: dict[str, list[Document]] = {}
        for place, held in enumerate(experiment.folds(FOLDS)):
            out = {record.id for record in held}
            trained = [record for record in experiment.train if record.id not in out]
            model = _train(
                changes, trained, experiment.work / "folds" / f"{name.replace(',', '').replace(' ', '-')}-{place}"
            )
            dense = experiment.retrievers({"dense": DenseConfig()}, model=model)["dense"]
            found |= experiment.find(dense, held)
        ranks = ranks_by_fusion(found, words, ids)
        choice = best(ranks, range(len(ids)))
        right, reciprocal = merit(ranks[choice])
        cross_validation[name] = {
            "dense": sum(found[id][0].id == id for id in ids) / len(ids),
            "hybrid": right / len(ids),
            "hybrid_mrr": reciprocal / len(ids),
            "nested_hybrid": nested(ranks, len(ids)),
            "fusion": asdict(choice),
        }
        choices[name] = choice
        print(f"{name}: {cross_validation[name]}", file=sys.stderr)
    name = max(choices, key=lambda one: (cross_validation[one]["hybrid"], cross_validation[one]["hybrid_mrr"]))
    choice = choices[name]
    model = _train(RECIPES[name], experiment.train, experiment.work / "tuned")
    dense = experiment.retrievers({"dense": DenseConfig()}, model=model)["dense"]
    test = experiment.find(dense, experiment.test)
    by_words = words[choice.k1, choice.b]
    is_right = {
        "tuned dense": {id: ones[0].id == id for id, ones in test.items()},
        "tuned hybrid": {id: fused(choice, ones, by_words[id])[0] == id for id, ones in test.items()},
    }
    figures = {"recipe": name, "choice": asdict(choice), "cross_validation": cross_validation}
    return model, choice, is_right, figures


def _train(changes: Mapping[str, Any], trained: Sequence[QARecord], output: Path) -> str:
    config = EmbedderTrainConfig.model_validate({"every": 1000, "keep": "last", "report_to": (), **changes})
    return str(train_embedder(config, output, train=trained))


def among_distractors(
    experiment: Experiment, count: int, choice: Choice, trained: tuple[str, Choice] | None
) -> dict[str, dict[str, bool]]:
    """Whether each retriever is right on each record, with ``count`` further abstracts."""
    extra = list(distractors(experiment.records, count))
    right: dict[str, dict[str, bool]] = {}
    runs = [("", "embedded", choice, experiment.records)]
    if trained is not None:
        runs.append(("tuned ", trained[0], trained[1], experiment.test))
    for prefix, model, fusion, records in runs:
        made = experiment.retrievers(
            {"dense": DenseConfig(), "bm25": BM25Config(k1=fusion.k1, b=fusion.b)}, extra, model
        )
        found = {name: experiment.find(made[name], records, max(CANDIDATES)) for name in made}
        names = ("dense", "bm25") if not prefix else ("dense",)
        for name in names:
            right[prefix + name] = {id: bool(ones) and ones[0].id == id for id, ones in found[name].items()}
        right[f"{prefix}hybrid"] = {
            id: fused(fusion, ones, found["bm25"][id])[0] == id for id, ones in found["dense"].items()
        }
    return right


def table(title: str, right: Mapping[str, Mapping[str, bool]], records: Sequence[QARecord]) -> dict[str, Any]:
    """Print accuracy@1 of each retriever on ``records``, and its paired gain over dense."""
    ids = [record.id for record in records]
    rows: dict[str, Any] = {}
    print(f"\n{title} ({len(ids)} questions)\n{'':20}{'accuracy@1 (95%)':>26}{'gain over dense (95%)':>32}{'p':>8}")
    for name, by_id in right.items():
        if not all(id in by_id for id in ids):
            continue
        one, base = [by_id[id] for id in ids], [right["dense"][id] for id in ids]
        accuracy, gain = proportion(sum(one), len(ids)), mean_difference(base, one)
        p = mcnemar(base, one).p
        rows[name] = {"accuracy@1": asdict(accuracy), "gain": asdict(gain), "p": p}
        compared = "" if name == "dense" else f"{with_interval(gain, signed=True):>32}{p:>8.3f}"
        print(f"{name:20}{with_interval(accuracy):>26}{compared}")
    return rows


def main() -> None:
    """Choose, measure, print the tables and write the figures."""
    parser = bench.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a PubMedQA json file, its test split beside it")
    parser.add_argument("--work", type=Path, required=True, help="folder for vectors and models")
    parser.add_argument("--parts", nargs="*", choices=("tuned", "distractors"), default=("tuned", "distractors"))
    parser.add_argument("--distractors", type=int, default=20_000)
    options = parser.parse_args()
    experiment = Experiment(options.data, options.work)
    choice, right, chosen = untuned(experiment)
    report: dict[str, Any] = {"untuned": chosen}
    print(f"fusion chosen on {len(experiment.train)} questions: {choice}; nested {chosen['nested_accuracy@1']:.3f}")
    for title, records in (
        ("outside the test split", experiment.train),
        ("test", experiment.test),
        ("all", experiment.records),
    ):
        report["untuned"][title] = table(title, right, records)
    trained = None
    if "tuned" in options.parts:
        model, fusion, tuned_right, figures_of_recipe = tuned(experiment)
        trained = model, fusion
        print(f"recipe chosen by cross-validation: {figures_of_recipe['recipe']}, fused by {fusion}")
        report["tuned"] = {**figures_of_recipe, "test": table("test", {**right, **tuned_right}, experiment.test)}
    if "distractors" in options.parts:
        among = among_distractors(experiment, options.distractors, choice, trained)
        title = f"among {options.distractors:,} further abstracts"
        report["distractors"] = {
            "test": table(f"test, {title}", among, experiment.test),
            "all": table(f"all, {title}", among, experiment.records),
        }
    bench.write_report(options.output, report)


if __name__ == "__main__":
    bench.run(main)
