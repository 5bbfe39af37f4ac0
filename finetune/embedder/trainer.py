"""sentence-transformers' trainer on our order of batches, with dev figures as in search."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from finetune.embedder.batches import Batches
from finetune.embedder.examples import Lesson
from finetune.embedder.model import measure, prompts_of
from finetune.trainer import RunTrainer
from retrievers.base import encodable

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SCALE = 20.0  # of cosines in the loss, the library's own


class EmbedderTrainer(RunTrainer, SentenceTransformerTrainer):
    """Brings each text near its abstract and away from all other abstracts of its batch.

    The loss is the cross-entropy of the right one (Henderson et al. 2017), the library's
    ``MultipleNegativesRankingLoss``.

    Args:
        embedder: the model; its live state is what is measured.
        args: the library's settings.
        lesson: what is taught.
        batches: in which order; one epoch of the library's.
        max_length: how many tokens of a text are read while training.
        others: what ``RunTrainer`` and the library's trainer take.
    """

    def __init__(
        self,
        *,
        embedder: "SentenceTransformer",
        args: SentenceTransformerTrainingArguments,
        lesson: Lesson,
        batches: Batches,
        max_length: int,
        **others: Any,
    ) -> None:
        self._lesson = lesson
        self.batches = batches
        super().__init__(
            model=embedder,
            args=args,
            train_dataset=_rows(lesson, embedder),
            loss=MultipleNegativesRankingLoss(embedder, scale=SCALE),
            **others,
        )
        self.data_collator.max_length = max_length

    def get_batch_sampler(self, *_: object, **__: object) -> Any:
        """All epochs' batches."""
        return self.batches

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """None: the library's card quotes training texts, which may be nobody else's business."""

    def dev_figures(self) -> dict[str, float]:
        """See ``finetune.embedder.model.measure``."""
        if not self._lesson.dev:
            return {}
        return measure(self.model, self._lesson.dev, self._lesson.abstracts, SCALE)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        del state_dict
        folder = Path(str(output_dir or self.args.output_dir))
        self.model.save_pretrained(str(folder), create_model_card=False)


def _rows(lesson: Lesson, embedder: "SentenceTransformer") -> Dataset:
    """A column for texts, one for the abstracts that belong to them and one for each negative, prompts included."""
    prompts = prompts_of(embedder)

    def passages(numbers: Sequence[int]) -> list[str]:
        return [prompts.passage + encodable(lesson.abstracts[number]) for number in numbers]

    columns = {
        "text": [prompts.query + encodable(one.text) for one in lesson.train],
        "right": passages([one.abstract for one in lesson.train]),
    }
    for place in range(len(lesson.train[0].negatives)):
        columns[f"wrong_{place}"] = passages([one.negatives[place] for one in lesson.train])
    return Dataset.from_dict(columns)
