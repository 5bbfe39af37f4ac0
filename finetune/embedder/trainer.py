"""sentence-transformers' trainer on a fixed order of batches."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from finetune.embedder.batches import Batches
from finetune.embedder.data import EmbedderData
from finetune.embedder.model import prompts_of
from finetune.trainer import BaseTrainer
from retrievers.base import encodable

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SCALE = 20.0  # of cosines in the loss, the library's default


class EmbedderTrainer(BaseTrainer, SentenceTransformerTrainer):
    """Trains an embedder with ``MultipleNegativesRankingLoss`` (Henderson et al. 2017).

    The loss is the cross-entropy of a text's own abstract among all abstracts of its batch. ``batches`` are those of
    all epochs, as one epoch of the trainer; texts are cut to ``max_length`` tokens.
    """

    def __init__(
        self,
        *,
        embedder: "SentenceTransformer",
        data: EmbedderData,
        batches: Batches,
        max_length: int,
        **others: Any,
    ) -> None:
        self.batches = batches
        super().__init__(
            model=embedder,
            train_dataset=_rows(data, embedder),
            loss=MultipleNegativesRankingLoss(embedder, scale=SCALE),
            **others,
        )
        self.data_collator.max_length = max_length

    def get_batch_sampler(self, *_: object, **__: object) -> Any:
        """The batches of all epochs."""
        return self.batches

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Skip the library's card: it quotes training texts, which may be confidential."""

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        del state_dict
        folder = Path(str(output_dir or self.args.output_dir))
        self.model.save_pretrained(str(folder), create_model_card=False)


def _rows(data: EmbedderData, embedder: "SentenceTransformer") -> Dataset:
    """The texts, their abstracts and one column for each negative, prompts included."""
    prompts = prompts_of(embedder)

    def passages(indices: Sequence[int]) -> list[str]:
        return [prompts.passage + encodable(data.abstracts[index]) for index in indices]

    columns = {
        "text": [prompts.query + encodable(one.text) for one in data.train],
        "abstract": passages([one.abstract for one in data.train]),
    }
    for place in range(len(data.train[0].negatives)):
        columns[f"negative_{place}"] = passages([one.negatives[place] for one in data.train])
    return Dataset.from_dict(columns)
