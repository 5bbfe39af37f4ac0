"""``medground train embedder``: fine-tunes an embedder on question records, or on claims with their evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentence_transformers import SentenceTransformerTrainingArguments

from common.fingerprints import weights_digest
from corpus.inference.claims import ClaimData
from corpus.records import QARecord
from finetune.config import EmbedderTrainConfig
from finetune.embedder import report
from finetune.embedder.batches import Batches
from finetune.embedder.data import EmbedderData, make_data, make_evidence_data
from finetune.embedder.model import evaluate_embedder, load_base
from finetune.embedder.trainer import SCALE, EmbedderTrainer
from finetune.run import Job, Run, digest

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
    """Fine-tune an embedder and leave it with its card and its figures in ``output`` (see ``Run``).

    ``output`` becomes a sentence-transformers folder.

    Args:
        config: settings.
        output: the folder; made if absent.
        train: records whose questions and conclusions are trained on.
        dev: records whose questions choose the checkpoint, searched in the abstracts of both; with ``config.teach_dev``
            they are trained on too.
        claims: of task evidence, read in place of the records.
        quiet: show nothing on stderr.

    Returns:
        ``output``.

    Raises:
        UserError: the records, the model or ``output`` cannot be used, or a checkpoint cannot be saved; what was
            trained until then stays in ``output``.
    """
    run = Run(output, config, "train.embedder", quiet=quiet)
    if config.teach_dev:
        train, dev = (*train, *dev), ()
    data = make_data(config, train, dev) if claims is None else make_evidence_data(config, claims)
    return run.train(EmbedderJob(config, load_base(config), data))


@dataclass(frozen=True)
class EmbedderJob(Job[EmbedderTrainer]):
    """An embedder's part of a run."""

    config: EmbedderTrainConfig
    embedder: "SentenceTransformer"
    data: EmbedderData

    def recipe(self) -> dict[str, Any]:
        """Base weights and examples."""
        data = self.data
        return {
            "weights": weights_digest(self.embedder)[:16],
            "training examples": digest(
                [data.abstracts, [(one.text, one.abstract, one.negatives) for one in data.train]]
            ),
            "dev examples": digest([(one.text, one.abstract, *one.negatives) for one in data.dev]),
        }

    def make_trainer(self, arguments: dict[str, Any], *, resumed: bool, **run: Any) -> EmbedderTrainer:
        """The trainer on the batches of all epochs."""
        del resumed
        config, data = self.config, self.data
        return EmbedderTrainer(
            embedder=self.embedder,
            args=SentenceTransformerTrainingArguments(**arguments, num_train_epochs=1),
            data=data,
            batches=Batches(data.train, config.batch_size, config.epochs, config.seed),
            max_length=config.max_length,
            evaluate_model=lambda model: evaluate_embedder(model, data.dev, data.abstracts, SCALE),
            **run,
        )

    def figures(self, trainer: EmbedderTrainer, step: int) -> dict[str, Any]:
        """See ``finetune.embedder.report``."""
        return report.figures(trainer, self.data, step)

    def card(self, summary: Mapping[str, Any]) -> str:
        """See ``finetune.embedder.report``."""
        return report.card(summary)
