"""Retrieval quality on PubMedQA: selection of the settings, and the gain from training the embedder.

    python benchmarks/retrieval_quality.py --data PATH/ori_pqal.json --work FOLDER --output quality.json

Retrievers search all 1,000 abstracts for each question; the abstract with the question's id is correct. There are three
parts; ``--parts`` selects which of the last two are run:

- untuned: fusions of the packaged MiniLM with BM25 are compared on the training questions, which are those outside the
  official test split. The fusion with the highest accuracy@1, then MRR, is selected; nested cross-validation estimates
  its accuracy.
- tuned: recipes of ``medground train embedder``, each with the fusion that is best for it, are compared by
  cross-validation on the training questions. The best recipe is then trained on all of them. No question or conclusion
  of the test split is trained on.
- distractors: the same questions among 20,000 further abstracts (benchmarks/distractors.py).

FOLDER keeps vectors and models, so that an interrupted run continues. On 2 idle cores, untuned takes 2 minutes, tuned
about an hour and distractors half an hour.
"""

import random
import sys
from collections.abc import Mapping, Sequence
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
from eval.stats.significance import holm, mcnemar, mean_difference
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

DEPTH = 1000  # number of results: all abstracts
RECIPE_FOLDS = 3  # of the cross-validation of recipes
FUSION_FOLDS = 5  # of the nested cross-validation of fusions
# The grid of fusions.
BM25 = ((0.9, 0.4), (0.9, 0.9), (1.2, 0.75), (1.5, 0.75))  # k1 and b
WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5)  # of BM25; the dense retriever's is 1 minus this
CANDIDATES = (20, 50, 100)
FUSIONS: tuple[Fusion, ...] = ("zscore", "minmax", "rrf")
# Settings of train.embedder that differ from the defaults.
RECIPES: dict[str, dict[str, Any]] = {
    "questions": {"pairs": ("question",)},
    "questions and conclusions, one epoch": {"epochs": 1},
    "questions and conclusions": {},
    "with a BM25 negative": {"negatives": 1},
}
Results = dict[str, list[Document]]
"""A retriever's results for each question, by the record's id."""
IsCorrect = dict[str, dict[str, bool]]
"""Whether a question's abstract is ranked first, by retriever and the record's id."""


@dataclass(frozen=True)
class FusionSettings:
    """A fusion of a dense retriever with BM25, whose weight is ``bm25``; the weights' sum is 1."""

    fusion: Fusion
    k1: float
    b: float
    bm25: float
    candidates: int


class Experiment:
    """The records, and the folder of stores and models."""

    def __init__(self, data: Path, work: Path) -> None:
        config = DataConfig(path=str(data))
        self.records = load_records(config, "all")
        self.test = load_records(config, "test")
        held_out = {record.id for record in self.test}
        self.train = [record for record in self.records if record.id not in held_out]
        self.work = work

    def retrievers(
        self, configs: Mapping[str, RetrieverConfig], distractors: Sequence[Document] = (), model: str = "embedded"
    ) -> dict[str, Retriever]:
        """Retrievers over all abstracts and ``distractors``; ``model`` is that of the embedder "minilm"."""
        return make_retrievers(
            configs,
            list(configs),
            [*documents(self.records), *distractors],
            corpus=f"pubmedqa with {len(distractors)} more",
            embedders={"minilm": EmbedderConfig(model=model)},
            store=StoreConfig(path=str(self.work / "store")),
        )

    def search(self, retriever: Retriever, records: Sequence[QARecord], depth: int = DEPTH) -> Results:
        """The results for each record's question."""
        results = retriever.search([record.question for record in records], depth)
        return {record.id: found for record, found in zip(records, results, strict=True)}

    def search_bm25(self, records: Sequence[QARecord]) -> dict[tuple[float, float], Results]:
        """BM25's results by k1 and b."""
        retrievers = self.retrievers({f"{k1} {b}": BM25Config(k1=k1, b=b) for k1, b in BM25})
        return {(k1, b): self.search(retrievers[f"{k1} {b}"], records) for k1, b in BM25}

    def folds(self, count: int) -> list[list[QARecord]]:
        """The training records in ``count`` random folds of equal size."""
        shuffled = list(self.train)
        random.Random(1).shuffle(shuffled)
        return [shuffled[start::count] for start in range(count)]


def fuse(settings: FusionSettings, dense: Sequence[Document], bm25: Sequence[Document]) -> list[str]:
    """Ids of the fused results, best first."""
    lists = [dense[: settings.candidates], bm25[: settings.candidates]]
    hits = weighted_scores(lists, [1 - settings.bm25, settings.bm25], settings.candidates, settings.fusion)
    return [str(hit.document.id) for hit in sorted(hits, key=lambda hit: (-hit.score, str(hit.document.id)))]


Ranks = Mapping[FusionSettings, Sequence[int | None]]
"""By fusion, the rank of each question's abstract, from 1; None if it was not found."""


def ranks_by_fusion(dense: Results, bm25: Mapping[tuple[float, float], Results], ids: Sequence[str]) -> Ranks:
    """The ranks of the questions ``ids`` under each fusion of the grid."""
    ranks: dict[FusionSettings, list[int | None]] = {}
    for fusion, (k1, b), candidates, weight in product(FUSIONS, BM25, CANDIDATES, WEIGHTS):
        settings = FusionSettings(fusion, k1, b, weight, candidates)
        fused_ids = [fuse(settings, dense[id], bm25[settings.k1, settings.b][id]) for id in ids]
        ranks[settings] = [
            found.index(id) + 1 if id in found else None for id, found in zip(ids, fused_ids, strict=True)
        ]
    return ranks


def merit(ranks: Sequence[int | None]) -> tuple[int, float]:
    """The number of questions whose abstract is first, and the sum of the reciprocal ranks."""
    return ranks.count(1), sum(1 / rank for rank in ranks if rank)


def best_fusion(ranks: Ranks, questions: Sequence[int]) -> FusionSettings:
    """The fusion of the greatest ``merit`` on the questions at these indices."""
    return max(ranks, key=lambda settings: merit([ranks[settings][index] for index in questions]))


def nested_accuracy(ranks: Ranks, count: int) -> float:
    """Accuracy@1 over ``count`` questions; each fold is measured with the fusion that is best on the other folds."""
    shuffled = list(range(count))
    random.Random(2).shuffle(shuffled)
    correct = 0
    for fold in range(FUSION_FOLDS):
        held_out = shuffled[fold::FUSION_FOLDS]
        settings = best_fusion(ranks, [index for index in shuffled if index not in set(held_out)])
        correct += sum(ranks[settings][index] == 1 for index in held_out)
    return correct / count


def _first_is_correct(results: Results) -> dict[str, bool]:
    return {id: bool(found) and found[0].id == id for id, found in results.items()}


def _fused_is_correct(settings: FusionSettings, dense: Results, bm25: Results) -> dict[str, bool]:
    return {id: fuse(settings, found, bm25[id])[0] == id for id, found in dense.items()}


def measure_untuned(experiment: Experiment) -> tuple[FusionSettings, IsCorrect, dict[str, Any]]:
    """The best fusion of the untuned embedder, the retrievers' correctness, and the figures of the selection."""
    configs: dict[str, RetrieverConfig] = {
        "dense": DenseConfig(),
        "bm25": BM25Config(),
        "sections": ParentConfig(parts="section"),
        "sentences": ParentConfig(parts="sentence"),
    }
    retrievers = experiment.retrievers(configs)
    results = {
        name: experiment.search(retriever, experiment.records, DEPTH if name == "dense" else 100)
        for name, retriever in retrievers.items()
    }
    bm25 = experiment.search_bm25(experiment.records)
    ids = [record.id for record in experiment.train]
    ranks = ranks_by_fusion(results["dense"], bm25, ids)
    best = best_fusion(ranks, range(len(ids)))
    is_correct = {name: _first_is_correct(found) for name, found in results.items()}
    hybrids = {"hybrid": best}
    for fusion in FUSIONS:
        if fusion != best.fusion:
            ranks_of_kind = {settings: ranks[settings] for settings in ranks if settings.fusion == fusion}
            hybrids[f"hybrid by {fusion}"] = best_fusion(ranks_of_kind, range(len(ids)))
    for name, settings in hybrids.items():
        is_correct[name] = _fused_is_correct(settings, results["dense"], bm25[settings.k1, settings.b])
    figures = {
        "choice": asdict(best),
        "nested_accuracy@1": nested_accuracy(ranks, len(ids)),
        "grid": [{**asdict(settings), "right": ranks[settings].count(1), "of": len(ids)} for settings in ranks],
    }
    return best, is_correct, figures


def measure_tuned(experiment: Experiment) -> tuple[str, FusionSettings, IsCorrect, dict[str, Any]]:
    """The best recipe's model and fusion, their correctness on the test split, and the figures of the selection."""
    bm25 = experiment.search_bm25(experiment.records)
    ids = [record.id for record in experiment.train]
    fusions: dict[str, FusionSettings] = {}
    cross_validation: dict[str, dict[str, Any]] = {}
    for name, changes in RECIPES.items():
        results: Results = {}
        folder_name = name.replace(",", "").replace(" ", "-")
        for number, held_out in enumerate(experiment.folds(RECIPE_FOLDS)):
            held_out_ids = {record.id for record in held_out}
            train = [record for record in experiment.train if record.id not in held_out_ids]
            model = _train(changes, train, experiment.work / "folds" / f"{folder_name}-{number}")
            dense = experiment.retrievers({"dense": DenseConfig()}, model=model)["dense"]
            results |= experiment.search(dense, held_out)
        ranks = ranks_by_fusion(results, bm25, ids)
        fusions[name] = best_fusion(ranks, range(len(ids)))
        correct, reciprocal_ranks = merit(ranks[fusions[name]])
        cross_validation[name] = {
            "dense": sum(results[id][0].id == id for id in ids) / len(ids),
            "hybrid": correct / len(ids),
            "hybrid_mrr": reciprocal_ranks / len(ids),
            "nested_hybrid": nested_accuracy(ranks, len(ids)),
            "fusion": asdict(fusions[name]),
        }
        print(f"{name}: {cross_validation[name]}", file=sys.stderr)
    recipe = max(fusions, key=lambda name: (cross_validation[name]["hybrid"], cross_validation[name]["hybrid_mrr"]))
    fusion = fusions[recipe]
    model = _train(RECIPES[recipe], experiment.train, experiment.work / "tuned")
    dense = experiment.retrievers({"dense": DenseConfig()}, model=model)["dense"]
    test = experiment.search(dense, experiment.test)
    is_correct = {
        "tuned dense": _first_is_correct(test),
        "tuned hybrid": _fused_is_correct(fusion, test, bm25[fusion.k1, fusion.b]),
    }
    figures = {"recipe": recipe, "choice": asdict(fusion), "cross_validation": cross_validation}
    return model, fusion, is_correct, figures


def _train(changes: Mapping[str, Any], records: Sequence[QARecord], output: Path) -> str:
    config = EmbedderTrainConfig.model_validate({"every": 1000, "keep": "last", "report_to": (), **changes})
    return str(train_embedder(config, output, train=records))


def measure_with_distractors(
    experiment: Experiment, count: int, fusion: FusionSettings, trained: tuple[str, FusionSettings] | None
) -> IsCorrect:
    """The correctness of the retrievers with ``count`` distractors; ``trained`` is a model and its fusion."""
    documents = list(distractors(experiment.records, count))
    is_correct: IsCorrect = {}
    runs = [("", "embedded", fusion, experiment.records)]
    if trained is not None:
        runs.append(("tuned ", *trained, experiment.test))
    for prefix, model, settings, records in runs:
        configs = {"dense": DenseConfig(), "bm25": BM25Config(k1=settings.k1, b=settings.b)}
        retrievers = experiment.retrievers(configs, documents, model)
        results = {name: experiment.search(each, records, max(CANDIDATES)) for name, each in retrievers.items()}
        for name in ("dense",) if prefix else ("dense", "bm25"):
            is_correct[prefix + name] = _first_is_correct(results[name])
        is_correct[f"{prefix}hybrid"] = _fused_is_correct(settings, results["dense"], results["bm25"])
    return is_correct


def print_table(title: str, is_correct: IsCorrect, records: Sequence[QARecord]) -> dict[str, Any]:
    """Print accuracy@1 of each retriever on ``records`` and its paired gain over dense; returns these figures.

    ``p_holm`` is the p-value of the gain (McNemar's exact test) after Holm's correction for all gains of the table.
    """
    ids = [record.id for record in records]
    # Retrievers that are measured on the test split only are left out of the other tables.
    correct = {name: [by_id[id] for id in ids] for name, by_id in is_correct.items() if by_id.keys() >= set(ids)}
    p_values = {name: mcnemar(correct["dense"], values).p for name, values in correct.items() if name != "dense"}
    p_holm = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    rows: dict[str, Any] = {}
    print(f"\n{title} ({len(ids)} questions)")
    print(f"{'':20}{'accuracy@1 (95%)':>26}{'gain over dense (95%)':>32}{'p by Holm':>11}")
    for name, values in correct.items():
        accuracy, gain = proportion(sum(values), len(ids)), mean_difference(correct["dense"], values)
        p = {"p": p_values.get(name, 1.0), "p_holm": p_holm.get(name, 1.0)}
        rows[name] = {"accuracy@1": asdict(accuracy), "gain": asdict(gain), **p}
        comparison = "" if name == "dense" else f"{with_interval(gain, signed=True):>32}{p['p_holm']:>11.3f}"
        print(f"{name:20}{with_interval(accuracy):>26}{comparison}")
    return rows


def main() -> None:
    """Select settings, measure, print and write the figures."""
    parser = bench.make_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a PubMedQA json file, its test split beside it")
    parser.add_argument("--work", type=Path, required=True, help="folder for vectors and models")
    parser.add_argument("--parts", nargs="*", choices=("tuned", "distractors"), default=("tuned", "distractors"))
    parser.add_argument("--distractors", type=int, default=20_000)
    options = parser.parse_args()
    experiment = Experiment(options.data, options.work)
    fusion, is_correct, figures = measure_untuned(experiment)
    report: dict[str, Any] = {"untuned": figures}
    print(f"fusion chosen on {len(experiment.train)} questions: {fusion}; nested {figures['nested_accuracy@1']:.3f}")
    for title, records in (
        ("outside the test split", experiment.train),
        ("test", experiment.test),
        ("all", experiment.records),
    ):
        report["untuned"][title] = print_table(title, is_correct, records)
    trained = None
    if "tuned" in options.parts:
        model, tuned_fusion, tuned_is_correct, figures = measure_tuned(experiment)
        trained = model, tuned_fusion
        print(f"recipe chosen by cross-validation: {figures['recipe']}, fused by {tuned_fusion}")
        report["tuned"] = {**figures, "test": print_table("test", {**is_correct, **tuned_is_correct}, experiment.test)}
    if "distractors" in options.parts:
        is_correct = measure_with_distractors(experiment, options.distractors, fusion, trained)
        title = f"among {options.distractors:,} further abstracts"
        report["distractors"] = {
            "test": print_table(f"test, {title}", is_correct, experiment.test),
            "all": print_table(f"all, {title}", is_correct, experiment.records),
        }
    bench.write_report(options.output, report)


if __name__ == "__main__":
    bench.run(main)
