"""What a report shows besides the samples of its runs: texts of passages, maps of embeddings, and notes."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from common.errors import UserError
from common.json_file import escape
from corpus.config import DataConfig
from corpus.inference.claims import load_claims
from corpus.load import corpus_name, load_records
from corpus.pubmedqa import read_records
from corpus.records import QARecord, documents
from corpus.sample import sample_path
from eval.report.figures import data_name
from eval.report.projection import MAX_PAIRS, MIN_PAIRS, EmbeddingMap, MapPair, map_file_name, project
from eval.report.tasks import ReportTask
from eval.tasks.base import CHECKING, INFERENCE, RETRIEVAL
from eval.tasks.qa import VARIANTS, QATask
from medground.settings import Settings, load_settings
from medground.tiny import TINY_NOTE
from retrievers.config import EmbedderConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Data = TypeVar("Data")


@dataclass
class ReportData:
    """Texts of passages and maps of a report; each data file is read once.

    Missing data is not an error. ``gaps`` has a message for each run without texts, and ``map_gap`` has a message on
    missing maps.
    """

    gaps: list[str] = field(default_factory=list)
    map_gap: str = ""
    # The data, or the error of reading it, by configuration.
    _loaded: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def texts(self, task: ReportTask) -> Mapping[str, str]:
        """All texts of the task's data by id; empty if no passages were retrieved or the data is missing."""
        if not any(sample["retrieved"] for sample in task.samples):
            return {}
        try:
            if task.section.data == "claims":
                return self._claim_texts(task)
            return {id: record.context for id, record in self.records(task).items()}
        except UserError as error:
            gap = f"The texts of passages in {task.run} are not shown, only their ids: {error}"
            self.gaps += [] if gap in self.gaps else [gap]
            return {}

    def records(self, task: ReportTask) -> Mapping[str, QARecord]:
        """All records of the task's data by id.

        Raises:
            UserError: the data cannot be read, or has changed since the run.
        """
        settings = _settings(task)
        variant = task.task.variant
        if variant not in VARIANTS or settings.data.path != "sample":
            variant = None
        data = settings.data.model_copy(update={"limit": None, "split": "all"})
        records = self._load((data, variant), lambda: _read_records(data, variant))
        changed = f"{data.path} has changed"
        _check_unchanged(task, "question", {id: record.question for id, record in records.items()}, changed)
        if isinstance(task.task, QATask) and task.task.context != "wrong":
            _check_unchanged(task, "target", {id: record.label or "" for id, record in records.items()}, changed)
        _check_passages(task, {id: record.context for id, record in records.items()}, changed)
        return records

    def _load(self, key: Hashable, read: Callable[[], Data]) -> Data:
        """The data that ``read`` returns, or the ``UserError`` that it raises, from its first call with this key."""
        if key not in self._loaded:
            try:
                self._loaded[key] = read()
            except UserError as error:
                self._loaded[key] = error
        data: Data | UserError = self._loaded[key]
        if isinstance(data, UserError):
            raise data
        return data

    def _claim_texts(self, task: ReportTask) -> Mapping[str, str]:
        """The documents of the task's claims by id; raises ``UserError`` as ``records`` does."""
        config = _settings(task).claims.model_copy(update={"limit": None})
        claims = self._load(config, lambda: load_claims(config))
        items: list[tuple[str, str, str | None]]  # id, text and verdict
        if task.task.context == "given":  # a sample has the id of a pair of claim and document
            items = [(each.id, claim.text, each.verdict) for claim in claims.claims for each in claim.evidence]
        else:
            items = [(claim.id, claim.text, claim.verdict) for claim in claims.claims]
        changed = f"{config.path} (claims) has changed"
        _check_unchanged(task, "question", {id: text for id, text, _ in items}, changed, noun="text")
        _check_unchanged(task, "target", {id: verdict for id, _, verdict in items}, changed)
        texts = {id: document.page_content for id, document in claims.by_id.items()}
        _check_passages(task, texts, changed)
        return texts

    def maps(self, tasks: Sequence[ReportTask], folder: Path, *, quiet: bool) -> list[EmbeddingMap]:
        """A map for each embedder and data set of the tasks' retrievers, cached in ``folder`` as CSV.

        The passages' vectors come from the store; missing ones are computed and stored.
        """
        # The task with the most samples for each embedder and data set.
        largest: dict[tuple[str, EmbedderConfig, str], ReportTask] = {}
        gaps = []
        for task in sorted(tasks, key=lambda task: len(task.samples), reverse=True):
            try:
                if (name := _embedder_name(task)) is not None:
                    settings = _settings(task)
                    largest.setdefault((name, settings.embedders[name], settings.data.path), task)
            except UserError as error:
                gaps.append(f"The settings of {task.run} are not valid any more: {error}")
        maps: list[EmbeddingMap] = []
        has_several_data_sets = len({data for _, _, data in largest}) > 1
        for (embedder, _, _), task in largest.items():
            name = f"{embedder}, {data_name(task).split(',')[0]}" if has_several_data_sets else embedder
            name += f" ({task.run})" if name in [other.name for other in maps] else ""
            try:
                maps.append(self._map(task, embedder, name, folder, quiet))
            except UserError as error:
                gaps.append(f"There is no map of {name}: {error}")
        if not largest and not gaps:
            gaps.append("There is no map of questions and abstracts: no task of these runs embeds both.")
        self.map_gap = " ".join(dict.fromkeys(gaps))
        return maps

    def _map(self, task: ReportTask, embedder: str, name: str, folder: Path, quiet: bool) -> EmbeddingMap:
        records, settings = self.records(task), _settings(task)
        sampled = [records[sample["id"]] for sample in task.samples]
        pairs = [MapPair(each.id, each.question, each.context, each.label) for each in sampled[:MAX_PAIRS]]
        if len(pairs) < MIN_PAIRS:
            raise UserError(f"{task.name} has {len(pairs)} records, and t-SNE needs {MIN_PAIRS} or more.")
        config = settings.embedders[embedder]

        def embed() -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
            return _embed_pairs(settings, embedder, list(records.values()), pairs, quiet)

        positions = project(
            pairs, embed, folder / f"{map_file_name(name)}.csv", embedder=config.model_dump(mode="json")
        )
        model = "all-MiniLM-L6-v2" if config.model == "embedded" else config.model
        return EmbeddingMap(name, model, data_name(task), pairs, len(sampled) - len(pairs), positions)


def notes(tasks: Sequence[ReportTask]) -> list[str]:
    """The note on medground-tiny if it has answered or judged in a task."""
    return [TINY_NOTE] if any(map(_uses_tiny, tasks)) else []


def _uses_tiny(task: ReportTask) -> bool:
    if task.section == RETRIEVAL or task.setting("llm", "kind") == "extractive":
        return False
    has_encoder = task.section in (INFERENCE, CHECKING) and task.setting("nli", "kind") == "encoder"
    return task.setting("llm", "model") == "embedded" and not has_encoder


def _check_unchanged(
    task: ReportTask, field: str, values: Mapping[str, str | None], changed: str, noun: str | None = None
) -> None:
    """Raise ``UserError`` unless the field of each sample has the value of the record with its id.

    ``noun`` is the name of the field in the message, by default ``field``.
    """
    for sample in task.samples:
        if sample["id"] not in values or values[sample["id"]] != sample.get(field):
            raise UserError(
                f"{changed} since it was measured: record {escape(sample['id'])} is missing or has another "
                f"{noun or field}."
            )


def _check_passages(task: ReportTask, texts: Mapping[str, str], changed: str) -> None:
    """Raise ``UserError`` if the task's samples show that its passages had other texts."""
    if task.identity is not None and not task.task.agrees_with(task.samples, texts, task.identity):
        raise UserError(f"{changed} since it was measured: the texts of {task.name} were others.")


def _settings(task: ReportTask) -> Settings:
    return load_settings(None, task.config)


def _read_records(data: DataConfig, variant: str | None) -> dict[str, QARecord]:
    records = read_records(sample_path(variant)) if variant else load_records(data)
    return {record.id: record for record in records}


def _embedder_name(task: ReportTask) -> str | None:
    """The name of the embedder that the task's questions are searched with, if there is one."""
    if task.task.retriever is None or task.section.data != "data":
        return None
    name = getattr(_settings(task).retrievers.get(task.task.retriever), "embedder", None)
    return name if isinstance(name, str) else None


def _embed_pairs(
    settings: Settings, embedder: str, records: Sequence[QARecord], pairs: Sequence[MapPair], quiet: bool
) -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
    """The vectors of the questions and of the abstracts, each of shape (pairs, dimensions)."""
    import numpy as np

    from retrievers.base import encodable
    from retrievers.embedders import embed_questions, make_embedder
    from retrievers.indexing import index
    from retrievers.store import open_store

    model = make_embedder(settings.embedders[embedder], settings.store)
    store = open_store(settings.store, corpus_name(settings.data), model)
    index(store, documents(records), quiet=quiet)
    ids = [pair.id for pair in pairs]
    with store.errors():
        vectors = store.embeddings(ids)
    abstracts = np.asarray([vectors[id] for id in ids], dtype=np.float32)
    questions = embed_questions(model, [encodable(pair.question) for pair in pairs])
    return np.asarray(questions, dtype=np.float32), abstracts
