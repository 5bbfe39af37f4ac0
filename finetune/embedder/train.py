"""``medground train embedder``: fine-tunes an embedder on question records, or on claims with their evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentence_transformers import SentenceTransformerTrainingArguments

from common.fingerprints import weights_digest
from corpus.inference.claims import ClaimData
from corpus.records import QARecord
from finetune.config import EmbedderTrainConfig
from finetune.distributed import processes
from finetune.embedder.batches import Batches
from finetune.embedder.data import EmbedderData, make_data, make_evidence_data
from finetune.embedder.model import evaluate_embedder, load_base
from finetune.embedder.trainer import SCALE, EmbedderTrainer, training_dataset
from finetune.report import base_name, dev_figure, model_card
from finetune.run import Job, Run, digest
from finetune.trainer import evaluations

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def train_embedder(
    config: EmbedderTrainConfig,
    output: Path,
    *,
    train: Sequence[QARecord] = (),
    dev: Sequence[QARecord] = (),
    claims: ClaimData | None = None,
    quiet: bool = False,
) -> Path:
    """Fine-tune an embedder and save it in ``output``, a sentence-transformers folder, with its card (see ``Run``).

    The run trains on questions and conclusions of ``train``. The questions of ``dev``, searched in all abstracts,
    choose the checkpoint; with ``config.teach_dev`` the run trains on them too. Task ``evidence`` needs ``claims``
    instead of ``train`` and ``dev``.

    Raises:
        UserError: the records, the model or ``output`` cannot be used, or see ``Run.train``.
    """
    run = Run(output, config, "train.embedder", quiet=quiet)
    if config.teach_dev:
        train, dev = (*train, *dev), ()
    data = make_data(config, train, dev) if claims is None else make_evidence_data(config, claims)
    return run.train(EmbedderJob(config, load_base(config), data))


@dataclass(frozen=True)
class EmbedderJob(Job[EmbedderTrainer]):
    """Training of an embedder."""

    config: EmbedderTrainConfig
    embedder: "SentenceTransformer"
    data: EmbedderData

    def recipe(self) -> dict[str, Any]:
        """Digests of the base weights and the examples."""
        data = self.data
        return {
            "weights": weights_digest(self.embedder)[:16],
            "training examples": digest(
                [data.abstracts, [(example.text, example.abstract, example.negatives) for example in data.train]]
            ),
            "dev examples": digest([(example.text, example.abstract, *example.negatives) for example in data.dev]),
        }

    def make_trainer(self, arguments: dict[str, Any], **kwargs: Any) -> EmbedderTrainer:
        """The trainer on the batches of all epochs."""
        config, data = self.config, self.data
        trainer = EmbedderTrainer(
            model=self.embedder,
            args=SentenceTransformerTrainingArguments(**arguments, num_train_epochs=1),
            train_dataset=training_dataset(data, self.embedder),
            sampler=Batches(data.train, config.batch_size, config.epochs, config.seed),
            evaluate_model=lambda model: evaluate_embedder(model, data.dev, data.abstracts, SCALE),
            **kwargs,
        )
        trainer.data_collator.max_length = config.max_length
        return trainer

    def figures(self, trainer: EmbedderTrainer, step: int) -> dict[str, Any]:
        """Counts of the examples, dev accuracy and speed."""
        data, state = self.data, trainer.state
        seen = sum(map(len, islice(trainer.sampler, state.global_step * processes())))
        return {
            "train_pairs": len(data.train),
            "train_abstracts": len({example.abstract for example in data.train}),
            "negatives": len(data.train[0].negatives),
            "dev_questions": len(data.dev),
            "dev_accuracy@1": evaluations(state.log_history).get(step, {}).get("eval_accuracy"),
            "pairs_per_second": round(seen / max(trainer.seconds, 1e-9), 2),
        }

    @staticmethod
    def card(summary: Mapping[str, Any]) -> str:
        """The model card."""
        recipe: Mapping[str, Any] = summary["recipe"]
        of_claims = recipe["task"] == "evidence"
        return model_card(
            summary,
            library="sentence-transformers",
            task="sentence-similarity",
            tags=("sentence-transformers", "medground"),
            title=f"`{base_name(recipe['model'])}` fine-tuned to find the "
            f"{'evidence of a claim' if of_claims else 'abstract of a question'}",
            usage=[
                "```yaml",
                "embedders:",
                "  tuned: {model: DIR}",
                *(
                    ["chain: {quote_embedder: tuned}"]
                    if of_claims
                    else ["retrievers:", "  tuned: {kind: dense, embedder: tuned}"]
                ),
                "```",
            ],
            rows={
                "pairs": f"{summary['train_pairs']} ({'claim, evidence' if of_claims else ', '.join(recipe['pairs'])})",
                f"{'sentences' if of_claims else 'abstracts'} of the pairs": summary["train_abstracts"],
                "hard negatives of a pair": summary["negatives"],
                f"dev {'claims' if of_claims else 'questions'}, for choosing the checkpoint": summary["dev_questions"],
                "dev accuracy@1": dev_figure(summary["dev_accuracy@1"]),
            },
            speed=f"{summary['pairs_per_second']} pairs/s",
        )
