"""All kinds of retrievers are interchangeable in a chain by a change of the settings."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from classifiers import make_classifier
from stub_openai import stub_openai
from stub_pubmed import StubPubMed

from chains.answer import Answer
from common.errors import UserError
from common.result_cache import ResultCache
from corpus.records import LABELS
from medground.ingest import data_corpus
from medground.pipeline import Pipeline
from medground.settings import load_settings
from retrievers import registry
from retrievers.cached import CachedRetriever

TEXTS = {
    "11": "Aspirin lowered the risk of stroke in adults with diabetes.",
    "22": "The vaccine was safe in children. Pain at the site was common.",
    "33": "Statin therapy did not change mortality after surgery.",
}
QUESTION = "Does aspirin lower the risk of stroke?"
RETRIEVERS = """
  dense: {kind: dense}
  bm25: {kind: bm25}
  parent: {kind: parent, parts: sentence}
  hybrid: {kind: hybrid, retrievers: {dense: 0.7, bm25: 0.3}}
  mmr: {kind: mmr, retriever: dense}
  multi_query: {kind: multi_query, retriever: hybrid, rewrites: 1}
  rerank: {kind: rerank, retriever: hybrid, model: MODEL, candidates: 1, top_k: 1}
  filter: {kind: filter, retriever: hybrid, min_score: -9}
  pubmed: {kind: pubmed, url: "URL"}
"""
KINDS = [line.partition(":")[0].strip() for line in RETRIEVERS.strip().splitlines()]


@pytest.fixture(scope="module")
def settings_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("swap")
    records = {
        id: {"QUESTION": QUESTION, "CONTEXTS": [text], "LABELS": [], "LONG_ANSWER": "", "final_decision": "yes"}
        for id, text in TEXTS.items()
    }
    (folder / "records.json").write_text(json.dumps(records))
    model = make_classifier(folder / "classifier")
    stub = StubPubMed({id: {"title": "t", "text": text} for id, text in TEXTS.items()})
    with stub.running() as url:
        retrievers = RETRIEVERS.replace("MODEL", str(model)).replace("URL", url)
        (folder / "settings.yaml").write_text(
            f"data: {{path: {folder}/records.json}}\nstore: {{path: {folder}/store}}\nretrievers:{retrievers}"
        )
        yield folder / "settings.yaml"


def test_settings_have_every_kind_of_retriever() -> None:
    assert sorted(KINDS) == sorted(registry.KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_chain_answers_with_each_retriever(settings_file: Path, kind: str) -> None:
    settings = load_settings(settings_file, {"retriever": kind})
    chain = Pipeline.from_settings(settings, data_corpus(settings), quiet=True).chain()
    for answer in chain.batch([QUESTION, "Does aspirin lower risk in adults with diabetes?"]):
        assert isinstance(answer, Answer)
        assert answer.passages[0].id == "11"
        assert answer.passages[0].text == TEXTS["11"]
        assert answer.label in LABELS


def test_hits_are_cached_except_from_pubmed(settings_file: Path, tmp_path: Path) -> None:
    settings = load_settings(settings_file)
    corpus = data_corpus(settings)
    names = [name for name in KINDS if name != "multi_query"]  # multi_query needs a language model
    uncached = Pipeline.from_settings(settings, corpus, quiet=True).retrievers(names)
    cache = ResultCache(tmp_path / "cache.jsonl")
    cached = Pipeline.from_settings(settings, corpus, cache=cache, quiet=True).retrievers(names)
    assert [name for name in names if not isinstance(cached[name], CachedRetriever)] == ["pubmed"]
    for name in names:
        assert cached[name].search([QUESTION], 10) == uncached[name].search([QUESTION], 10), name


def test_identity_depends_on_the_settings_of_inner_retrievers(settings_file: Path) -> None:
    def identities(overrides: dict[str, Any]) -> dict[str, Any]:
        pipeline = Pipeline.from_settings(load_settings(settings_file, overrides))
        return {name: pipeline.retriever_identity(name) for name in KINDS}

    base, other_k1 = identities({}), identities({"retrievers.bm25.k1": 0.5})
    changed = {name for name in KINDS if base[name] != other_k1[name]}
    assert changed == {"bm25", "hybrid", "multi_query", "rerank", "filter"}
    other_top_k = identities({"retrievers.dense.top_k": 9})  # hybrid sets its own number of candidates
    assert base["hybrid"] == other_top_k["hybrid"]


def test_multi_query_needs_a_language_model(settings_file: Path) -> None:
    settings = load_settings(settings_file, {"retriever": "multi_query", "llm.kind": "extractive"})
    with pytest.raises(UserError, match=r"needs a language model, and llm\.kind is extractive"):
        Pipeline.from_settings(settings, data_corpus(settings), quiet=True).chain()


def test_multi_query_shares_the_model_that_answers(settings_file: Path, command: Callable[..., Any]) -> None:
    with stub_openai() as model:
        settings = ["llm.kind=openai", f"llm.base_url={model.url}", "llm.model=stub", "retriever=multi_query"]
        overrides = [f"--set={item}" for item in settings]
        outcome = command("eval", "qa", "--quiet", "--split", "all", "--config", str(settings_file), *overrides)
        assert outcome.status == 0, outcome.err
        # A model requests the list of models when it is loaded.
        assert [path for path, *_ in model.requests].count("/v1/models") == 1
        assert "retrieved" in outcome.out  # the result of the task with retrieved passages
