"""Embedders and cross-encoders that rank the quotes of extractive answers."""

import json
import random
import shutil
from itertools import combinations
from pathlib import Path

import pytest
from classifiers import make_classifier
from embedders import save_tiny_embedder
from langchain_core.documents import Document
from transformers import BertForSequenceClassification
from typer.testing import CliRunner

from common.errors import UserError
from medground.cli.app import app
from medground.ingest import Corpus
from medground.pipeline import Pipeline
from medground.settings import load_settings
from retrievers.kinds.rerank import Reranker

WORDS = ("aspirin", "statin", "vaccine", "placebo", "surgery", "stroke", "mortality", "pressure", "diabetes", "pain")
PAIRS = random.Random(0).sample(list(combinations(WORDS, 2)), 45)
TRAIN_PAIRS, TEST_PAIRS = PAIRS[:35], PAIRS[35:]


def claim(pair: tuple[str, str]) -> str:
    return f"{pair[0]} and {pair[1]}"


def evidence(pair: tuple[str, str]) -> str:
    return f"{claim(pair).capitalize()} fell."


def sentences(pair: tuple[str, str], seed: int) -> list[str]:
    """The evidence and two other sentences in random order; each has both words of the claim."""
    texts = [evidence(pair), f"{claim(pair).capitalize()} trial.", f"{claim(pair).capitalize()} in children."]
    return random.Random(seed).sample(texts, 3)


def write_claims(folder: Path) -> Path:
    """Write claims on ``TRAIN_PAIRS`` and their abstracts in SciFact's format; returns the file of claims."""
    claims, documents = [], []
    for number, pair in enumerate(TRAIN_PAIRS):
        abstract = sentences(pair, number)
        label = [{"sentences": [abstract.index(evidence(pair))], "label": "SUPPORT"}]
        claims.append({"id": number, "claim": claim(pair), "evidence": {str(number): label}})
        documents.append({"doc_id": number, "title": "", "abstract": abstract})
    for name, rows in (("claims", claims), ("corpus", documents)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return folder / "claims.jsonl"


def correct_first_quotes(embedder: str, folder: Path) -> int:
    """The number of the 10 ``TEST_PAIRS`` whose evidence is quoted first."""
    documents = [
        Document(id=" ".join(pair), page_content=" ".join(sentences(pair, 100 + number)))
        for number, pair in enumerate(TEST_PAIRS)
    ]
    overrides = {
        "llm.kind": "extractive",
        "retriever": "bm25",
        "store.path": str(folder / "store"),
        "embedders.quotes.model": embedder,
        "chain.quote_embedder": "quotes",
    }
    pipeline = Pipeline.from_settings(load_settings(None, {}, overrides), Corpus("pairs", documents), quiet=True)
    answers = pipeline.answerer().batch([claim(pair) for pair in TEST_PAIRS])
    return sum(answer.citations[0].quote == evidence(pair) for answer, pair in zip(answers, TEST_PAIRS, strict=True))


@pytest.mark.slow
def test_embedder_trained_on_claims_quotes_evidence_first(tmp_path: Path) -> None:
    base, output = save_tiny_embedder(tmp_path / "base", seed=3), tmp_path / "tuned"
    config = {"task": "evidence", "model": base, "negatives": 2, "max_length": 16}
    config |= {"epochs": 10, "batch_size": 8, "learning_rate": 1e-3}
    options = [f"--set=train.embedder.{key}={value}" for key, value in config.items()]
    claims = write_claims(tmp_path)
    result = CliRunner().invoke(app, ["train", "embedder", "--data", str(claims), "--output", str(output), *options])
    assert result.exit_code == 0, result.output
    assert f"embedders.quotes.model={output}" in result.output
    assert "chain.quote_embedder=quotes" in result.output
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    assert (summary["train_pairs"], summary["dev_questions"], summary["negatives"]) == (32, 3, 2)  # of 35 claims
    card = (output / "README.md").read_text(encoding="utf-8")
    assert "fine-tuned to find the evidence of a claim" in card
    assert "chain: {quote_embedder: tuned}" in card
    assert correct_first_quotes(str(output), tmp_path) >= 9
    assert correct_first_quotes(str(base), tmp_path) <= 6


def test_unknown_quote_embedder_is_an_error() -> None:
    with pytest.raises(UserError, match=r"chain\.quote_embedder: there is no embedder 'quotes'"):
        load_settings(None, {"chain.quote_embedder": "quotes"})


def test_quotes_are_sorted_by_relevance_to_the_cross_encoder(tmp_path: Path) -> None:
    first, second = (str(make_classifier(tmp_path / name, ["relevant"])) for name in ("first", "second"))
    model = BertForSequenceClassification.from_pretrained(first)
    model.classifier.weight.data.neg_()  # reverses the order, since the classifier has no bias
    model.save_pretrained(second)
    shutil.copy(Path(first, "tokenizer.json"), second)
    texts = ["Aspirin lowered pain.", "Aspirin was safe.", "Aspirin was given to children."]
    question = "aspirin"
    overrides = {"llm.kind": "extractive", "retriever": "bm25", "store.path": str(tmp_path / "store")}

    def quotes(**chain: str) -> list[str]:
        settings = load_settings(None, {}, {**overrides, **{f"chain.{key}": value for key, value in chain.items()}})
        corpus = Corpus("texts", [Document(id=str(number), page_content=text) for number, text in enumerate(texts)])
        answer = Pipeline.from_settings(settings, corpus, quiet=True).answerer().invoke(question)
        return [citation.quote for citation in answer.citations]

    relevance = dict(zip(texts, Reranker(first).relevance(question, texts), strict=True))
    by_relevance = sorted(texts, key=relevance.__getitem__, reverse=True)
    assert quotes(quote_cross_encoder=first) == by_relevance
    assert quotes(quote_cross_encoder=second) == by_relevance[::-1]
    with pytest.raises(UserError, match="nowhere"):
        quotes(quote_cross_encoder=str(tmp_path / "nowhere"))
