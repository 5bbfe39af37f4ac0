"""sentence-transformers' trainer on batches in a fixed order."""

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

SCALE = 20.0  # multiplies the cosines in the loss; the library's default


class EmbedderTrainer(BaseTrainer, SentenceTransformerTrainer):
    """Trains an embedder with ``MultipleNegativesRankingLoss`` (Henderson et al. 2017).

    The loss is the cross-entropy of a text's abstract among all abstracts of the batch.
    """

    sampler: Batches

    def __init__(self, *, model: "SentenceTransformer", **kwargs: Any) -> None:
        super().__init__(model=model, loss=MultipleNegativesRankingLoss(model, scale=SCALE), **kwargs)

    def get_batch_sampler(self, *_: object, **__: object) -> Any:
        """The batches of all epochs."""
        return self.sampler

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Skip the library's card: it quotes training texts, which may be confidential."""

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        del state_dict
        folder = Path(str(output_dir or self.args.output_dir))
        self.model.save_pretrained(str(folder), create_model_card=False)


def training_dataset(data: EmbedderData, embedder: "SentenceTransformer") -> Dataset:
    """A dataset with a column of texts, one of abstracts, and one for each hard negative; prompts are prepended."""
    query_prompt, passage_prompt = prompts_of(embedder)

    def passages(indices: Sequence[int]) -> list[str]:
        return [passage_prompt + encodable(data.abstracts[index]) for index in indices]

    columns = {
        "text": [query_prompt + encodable(example.text) for example in data.train],
        "abstract": passages([example.abstract for example in data.train]),
    }
    for number in range(len(data.train[0].negatives)):
        columns[f"negative_{number}"] = passages([example.negatives[number] for example in data.train])
    return Dataset.from_dict(columns)
