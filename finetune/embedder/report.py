"""Figures and model card of an embedder run."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from finetune.embedder.data import EmbedderData
from finetune.embedder.trainer import EmbedderTrainer
from finetune.report import base_name, figure, model_card
from finetune.trainer import evaluations


def figures(trainer: EmbedderTrainer, data: EmbedderData, step: int) -> dict[str, Any]:
    """The embedder's part of ``summary.json``; ``step`` is that of the result."""
    state = trainer.state
    seen = sum(map(len, islice(trainer.batches, state.global_step)))
    return {
        "train_pairs": len(data.train),
        "train_abstracts": len({one.abstract for one in data.train}),
        "negatives": len(data.train[0].negatives),
        "dev_questions": len(data.dev),
        "dev_accuracy@1": evaluations(state.log_history).get(step, {}).get("eval_accuracy"),
        "pairs_per_second": round(seen / max(trainer.seconds, 1e-9), 2),
    }


def card(summary: Mapping[str, Any]) -> str:
    """The model card."""
    recipe: Mapping[str, Any] = summary["recipe"]
    ranks = recipe.get("task") == "evidence"
    return model_card(
        summary,
        library="sentence-transformers",
        task="sentence-similarity",
        tags=("sentence-transformers", "medground"),
        title=f"`{base_name(recipe['model'])}` fine-tuned to find the "
        f"{'evidence of a claim' if ranks else 'abstract of a question'}",
        usage=[
            "```yaml",
            "embedders:",
            "  tuned: {model: DIR}",
            *(
                ["chain: {quote_embedder: tuned}"]
                if ranks
                else ["retrievers:", "  tuned: {kind: dense, embedder: tuned}"]
            ),
            "```",
        ],
        rows={
            "pairs": f"{summary['train_pairs']} ({'claim, evidence' if ranks else ', '.join(recipe['pairs'])})",
            f"{'sentences' if ranks else 'abstracts'} of the pairs": summary["train_abstracts"],
            "hard negatives of a pair": summary["negatives"],
            f"dev {'claims' if ranks else 'questions'}, for choosing the checkpoint": summary["dev_questions"],
            "dev accuracy@1": figure(summary["dev_accuracy@1"]),
        },
        speed=f"{summary['pairs_per_second']} pairs/s",
    )
