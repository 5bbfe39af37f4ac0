import json
from pathlib import Path

import numpy as np
import pytest
import torch
from embedders import save_tiny_embedder
from sentence_transformers import SentenceTransformer
from training_runs import DEV, TRAIN, embedder_config

from common.errors import UserError
from corpus.records import documents
from finetune.embedder.data import make_data
from finetune.embedder.model import evaluate_embedder, load_base, prompts_of
from finetune.embedder.train import train_embedder
from retrievers import make_retriever
from retrievers.config import EmbedderConfig, StoreConfig
from retrievers.embedders.sentence import SentenceEmbedder
from retrievers.kinds.dense import DenseConfig


@pytest.fixture(scope="module")
def trained(embedder_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_embedder(
        embedder_config(embedder_base), tmp_path_factory.mktemp("run") / "out", train=TRAIN, dev=DEV, quiet=True
    )


def test_summary_and_card_have_counts_and_dev_accuracy(trained: Path, embedder_base: Path) -> None:
    summary = json.loads((trained / "summary.json").read_text())
    evaluations = {entry["step"]: entry for entry in summary["log"] if "eval_accuracy" in entry}
    assert summary["dev_accuracy@1"] == evaluations[summary["step"]]["eval_accuracy"]
    # Each of the 24 training records has two pairs: its question and its conclusion, each with its abstract.
    assert (summary["train_pairs"], summary["dev_questions"], summary["negatives"]) == (48, 8, 0)
    card = (trained / "README.md").read_text()
    assert f"| dev accuracy@1 | {summary['dev_accuracy@1']:.3f} |" in card
    assert str(embedder_base) in card


def test_no_file_quotes_training_texts(trained: Path) -> None:
    for path in trained.rglob("*"):
        if path.suffix in (".md", ".json") and path.name != "tokenizer.json":
            assert not any(record.question in path.read_text() for record in TRAIN), path


def test_result_and_checkpoint_retrieve_with_the_reported_accuracy(trained: Path, tmp_path: Path) -> None:
    summary = json.loads((trained / "summary.json").read_text())
    last = trained / f"checkpoint-{summary['steps']}"
    accuracies = {entry["step"]: entry["eval_accuracy"] for entry in summary["log"] if "eval_accuracy" in entry}
    for folder, reported in ((trained, summary["dev_accuracy@1"]), (last, accuracies[summary["steps"]])):
        retriever = make_retriever(
            DenseConfig(embedder="tuned"),
            documents([*TRAIN, *DEV]),
            corpus=folder.name,
            embedders={"tuned": EmbedderConfig(model=str(folder), dtype="float32")},
            store=StoreConfig(path=str(tmp_path / "store")),
            quiet=True,
        )
        results = retriever.search([record.question for record in DEV], 1)
        right = [hits[0].page_content == record.context for hits, record in zip(results, DEV, strict=True)]
        assert sum(right) / len(right) == pytest.approx(reported)


def test_training_raises_accuracy_and_lowers_loss(embedder_base: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = SentenceTransformer(str(embedder_base), device="cpu")
    for weights in model.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, std=0.1)  # the fixture's larger weights need more steps
    model.save(str(tmp_path / "small"), create_model_card=False)
    settings = embedder_config(tmp_path / "small", epochs=20, every=1000, negatives=1, warmup=0.0)
    data = make_data(settings, TRAIN, TRAIN)
    before = evaluate_embedder(load_base(settings), data.dev, data.abstracts, 20.0)
    output = train_embedder(settings, tmp_path / "out", train=TRAIN, dev=TRAIN, quiet=True)
    summary = json.loads((output / "summary.json").read_text())
    assert summary["dev_accuracy@1"] > before["accuracy"] + 0.2
    assert summary["dev_loss"] < 0.5 * before["loss"]
    assert summary["negatives"] == 1


def test_the_result_has_the_window_and_modules_of_its_base(embedder_base: Path, tmp_path: Path) -> None:
    output = train_embedder(
        embedder_config(embedder_base, max_length=8, epochs=1), tmp_path / "out", train=TRAIN, dev=(), quiet=True
    )
    assert SentenceEmbedder(str(output), dtype="float32").model.max_seq_length == 16
    assert (output / "1_Pooling" / "config.json").is_file()
    assert json.loads((output / "summary.json").read_text())["dev_accuracy@1"] is None
    assert "| dev accuracy@1 | not measured |" in (output / "README.md").read_text()


def test_teach_dev_trains_on_the_dev_questions_too(embedder_base: Path, tmp_path: Path) -> None:
    output = train_embedder(
        embedder_config(embedder_base, teach_dev=True, epochs=1), tmp_path / "out", train=TRAIN, dev=DEV, quiet=True
    )
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["train_pairs"], summary["dev_questions"]) == (2 * len(TRAIN + DEV), 0)


@pytest.mark.parametrize(
    ("prompts", "default", "expected"),
    [
        ({"query": "query: ", "passage": "passage: "}, None, ("query: ", "passage: ")),
        ({"pain": "pain: "}, "pain", ("", "")),  # the library's empty prompts for queries and documents take precedence
    ],
    ids=["query and passage prompts", "default prompt"],
)
def test_training_uses_the_prompts_of_retrieval(
    tmp_path: Path, prompts: dict[str, str], default: str | None, expected: tuple[str, str]
) -> None:
    folder = save_tiny_embedder(tmp_path, prompts=prompts)
    settings = json.loads((folder / "config_sentence_transformers.json").read_text())
    (folder / "config_sentence_transformers.json").write_text(json.dumps({**settings, "default_prompt_name": default}))
    model = load_base(embedder_config(folder))
    assert prompts_of(model) == expected
    embedder = SentenceEmbedder(str(folder), dtype="float32")
    text = TRAIN[0].context
    for prompt, vector in zip(expected, (embedder.embed_query(text), *embedder.embed_documents([text])), strict=True):
        training_vector = model.encode(text, prompt=prompt, normalize_embeddings=True)
        assert np.allclose(training_vector, vector / np.linalg.norm(vector), atol=1e-5)


def test_max_length_above_the_window_is_refused(embedder_base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"max_length is 64, and the window of .* is 16 tokens"):
        train_embedder(embedder_config(embedder_base, max_length=64), tmp_path, train=TRAIN, quiet=True)


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        train_embedder(embedder_config(tmp_path / "nowhere"), tmp_path / "out", train=TRAIN, quiet=True)
