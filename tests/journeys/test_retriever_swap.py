"""Every kind of retriever in the place of every other, by a change of the settings file alone."""

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
        listed = RETRIEVERS.replace("MODEL", str(model)).replace("URL", url)
        (folder / "settings.yaml").write_text(
            f"data: {{path: {folder}/records.json}}\nstore: {{path: {folder}/store}}\nretrievers:{listed}"
        )
        yield folder / "settings.yaml"


def test_every_kind_is_here() -> None:
    assert sorted(KINDS) == sorted(registry.KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_one_chain_answers_with_any_retriever(settings_file: Path, kind: str) -> None:
    settings = load_settings(settings_file, {"retriever": kind})
    chain = Pipeline.from_settings(settings, data_corpus(settings), quiet=True).chain()
    first, second = chain.batch([QUESTION, "Does aspirin lower risk in adults with diabetes?"])
    for answer in (first, second):
        assert isinstance(answer, Answer)
        assert answer.passages[0].id == "11"
        assert answer.passages[0].text == TEXTS["11"]
        assert answer.label in LABELS


def test_what_is_found_in_the_corpus_is_remembered_and_what_pubmed_says_is_not(
    settings_file: Path, tmp_path: Path
) -> None:
    from common.result_cache import ResultCache

    settings = load_settings(settings_file)
    corpus = data_corpus(settings)
    names = [name for name in KINDS if name != "multi_query"]
    made = Pipeline.from_settings(settings, corpus, quiet=True).retrievers(names)
    cache = ResultCache(tmp_path / "journal.jsonl")
    found = Pipeline.from_settings(settings, corpus, cache=cache, quiet=True).retrievers(names)
    assert [name for name, one in found.items() if not isinstance(one, CachedRetriever)] == ["pubmed"]
    for name, one in found.items():
        assert one.search([QUESTION], 10) == made[name].search([QUESTION], 10), name


def identities(settings_file: Path, *overrides: dict[str, Any]) -> Callable[[str], dict[str, Any]]:
    return Pipeline.from_settings(load_settings(settings_file, *overrides)).retriever_identity


def test_a_retriever_is_another_when_what_it_builds_on_is(settings_file: Path) -> None:
    base = identities(settings_file)
    changed = identities(settings_file, {"retrievers.bm25.k1": 0.5})
    for name in ("hybrid", "multi_query", "rerank", "filter"):
        assert base(name) != changed(name), name
    for name in ("dense", "mmr", "parent"):
        assert base(name) == changed(name), name
    deeper = identities(settings_file, {"retrievers.dense.top_k": 9})
    assert base("hybrid") == deeper("hybrid")


def test_rewriting_needs_a_language_model(settings_file: Path) -> None:
    settings = load_settings(settings_file, {"retriever": "multi_query", "llm.kind": "extractive"})
    with pytest.raises(UserError, match=r"needs a language model, and llm\.kind is extractive"):
        Pipeline.from_settings(settings, data_corpus(settings), quiet=True).chain()


def test_a_crossencoder_that_is_not_there_is_the_users_mistake(settings_file: Path) -> None:
    settings = load_settings(settings_file, {"retriever": "rerank", "retrievers.rerank.model": "./nowhere"})
    with pytest.raises(UserError, match="nowhere"):
        Pipeline.from_settings(settings, data_corpus(settings), quiet=True).chain()


def test_the_model_that_answers_is_the_one_that_rewrites(settings_file: Path, command) -> None:
    with stub_openai() as model:
        llm = ["llm.kind=openai", f"llm.base_url={model.url}", "llm.model=stub", "retriever=multi_query"]
        stated = [part for one in llm for part in ("--set", one)]
        ended = command("eval", "qa", "--quiet", "--split", "all", "--config", str(settings_file), *stated)
        assert ended.status == 0, ended.err
        assert [path for path, *_ in model.requests].count("/v1/models") == 1  # asked for when it is loaded
        assert any("retrieved" in line for line in ended.out.splitlines())
