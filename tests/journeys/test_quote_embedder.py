"""An embedder trained on claims and their evidence ranks the quotes of extractive answers."""

import json
import random
from itertools import combinations
from pathlib import Path

import pytest
from classifiers import make_classifier
from embedders import save_tiny_embedder
from langchain_core.documents import Document
from typer.testing import CliRunner

from common.errors import UserError
from medground.cli.app import app
from medground.ingest import Corpus
from medground.pipeline import Pipeline
from medground.settings import load_settings
from retrievers.kinds.rerank import Reranker

WORDS = ("aspirin", "statin", "vaccine", "placebo", "surgery", "stroke", "mortality", "pressure", "diabetes", "pain")
PAIRS = random.Random(0).sample(list(combinations(WORDS, 2)), 45)
TRAINED, ASKED = PAIRS[:35], PAIRS[35:]


def evidence(pair: tuple[str, str]) -> str:
    return f"{pair[0].capitalize()} and {pair[1]} fell."


def sentences(pair: tuple[str, str], seed: int) -> list[str]:
    """One sentence in three is evidence; all have the same words of the question."""
    one, other = pair
    made = [evidence(pair), f"{one.capitalize()} and {other} trial.", f"{one.capitalize()} and {other} in children."]
    return random.Random(seed).sample(made, 3)


def write_claims(folder: Path) -> Path:
    """Claims on the pairs for training, in SciFact's format."""
    claims, documents = [], []
    for number, pair in enumerate(TRAINED):
        abstract = sentences(pair, number)
        label = [{"sentences": [abstract.index(evidence(pair))], "label": "SUPPORT"}]
        claims.append({"id": number, "claim": f"{pair[0]} and {pair[1]}", "evidence": {str(number): label}})
        documents.append({"doc_id": number, "title": "", "abstract": abstract})
    for name, rows in (("claims", claims), ("corpus", documents)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return folder / "claims.jsonl"


def right(embedder: str, folder: Path) -> int:
    """For how many of the other pairs the evidence is quoted first."""
    documents = [
        Document(id=" ".join(pair), page_content=" ".join(sentences(pair, 100 + number)))
        for number, pair in enumerate(ASKED)
    ]
    stated = {
        "llm.kind": "extractive",
        "retriever": "bm25",
        "store.path": str(folder / "store"),
        "embedders.quotes.model": embedder,
        "chain.quote_embedder": "quotes",
    }
    pipeline = Pipeline.from_settings(load_settings(None, {}, stated), Corpus("pairs", documents), quiet=True)
    answers = pipeline.answerer().batch([f"{pair[0]} and {pair[1]}" for pair in ASKED])
    return sum(answer.citations[0].quote == evidence(pair) for answer, pair in zip(answers, ASKED, strict=True))


@pytest.mark.slow
def test_an_embedder_trained_on_claims_ranks_the_quotes(tmp_path: Path) -> None:
    base, output = save_tiny_embedder(tmp_path / "base"), tmp_path / "tuned"
    how = {"task": "evidence", "model": base, "negatives": 2, "epochs": 8, "max_length": 16, "learning_rate": 3e-3}
    options = [word for key, value in how.items() for word in ("--set", f"train.embedder.{key}={value}")]
    claims = write_claims(tmp_path)
    result = CliRunner().invoke(app, ["train", "embedder", "--data", str(claims), "--output", str(output), *options])
    assert result.exit_code == 0, result.output
    assert f"embedders.quotes.model={output}" in result.output
    assert "chain.quote_embedder=quotes" in result.output
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    assert (summary["train_pairs"], summary["dev_questions"], summary["negatives"]) == (32, 3, 2)
    card = (output / "README.md").read_text(encoding="utf-8")
    assert "fine-tuned to find the evidence of a claim" in card
    assert "chain: {quote_embedder: tuned}" in card
    assert right(str(output), tmp_path) >= 9
    assert right(str(base), tmp_path) <= 6


def test_a_quote_embedder_that_the_settings_lack() -> None:
    with pytest.raises(UserError, match=r"chain\.quote_embedder: there is no embedder 'quotes'"):
        load_settings(None, {"chain.quote_embedder": "quotes"})


def test_a_cross_encoder_ranks_the_quotes(tmp_path: Path) -> None:
    classifier = str(make_classifier(tmp_path / "classifier"))
    texts = ["Aspirin lowered pain.", "Aspirin was safe.", "Aspirin was given to children."]
    question = "aspirin"
    stated = {"llm.kind": "extractive", "retriever": "bm25", "store.path": str(tmp_path / "store")}

    def quotes(**more: str) -> list[str]:
        settings = load_settings(None, {}, {**stated, **{f"chain.{key}": value for key, value in more.items()}})
        corpus = Corpus("texts", [Document(id=str(number), page_content=text) for number, text in enumerate(texts)])
        answer = Pipeline.from_settings(settings, corpus, quiet=True).answerer().invoke(question)
        return [one.quote for one in answer.citations]

    read = dict(zip(texts, Reranker(classifier, against=("neutral",)).relevance(question, texts), strict=True))
    found = quotes(quote_cross_encoder=classifier)
    assert found == sorted(texts, key=read.__getitem__, reverse=True) != quotes()
    with pytest.raises(UserError, match="nowhere"):
        quotes(quote_cross_encoder=str(tmp_path / "nowhere"))
