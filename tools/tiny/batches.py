"""Training examples as tensors.

One row is a text (stem) with several question-answer pairs (branches). Each branch attends to the text and to itself
only, so the text is computed once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from tools.tiny.readings import Readings
from tools.tiny.wording import ASSISTANT, END, Reading, branch_text

BATCHES_PER_STEP = 4  # approximately; the rows of a batch have similar lengths


class Curriculum:
    """Curriculum position: 1 draws easy examples, 0 the full mixture. The trainer sets it, the generator reads it."""

    def __init__(self) -> None:
        self.easiness = 1.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of rows x length: token ids, positions, and the loss mask and loss weights of the tokens.

    The positions of each branch follow the stem's. ``mask`` is rows x 1 x length x length and additive (0 or -inf).
    ``is_target`` is false for padding and for a row's first token. ``answer_weights`` is the loss weight of each answer
    token, 1 / sqrt(n) in an answer of n tokens, 0 elsewhere. ``predictor_index`` is the index of the token that
    predicts each token: its predecessor, or the stem's last one for the first token of a branch.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    is_target: torch.Tensor
    answer_weights: torch.Tensor
    predictor_index: torch.Tensor


@dataclass(frozen=True, slots=True)
class _Row:
    ids: list[int]
    positions: list[int]
    branch_number: list[int]  # 0 for the stem, from 1 for branches; padded with -1
    predictor_index: list[int]


def _row(reading: Reading, tokenizer: PreTrainedTokenizerFast) -> _Row:
    stem = tokenizer.encode(reading.stem, add_special_tokens=False)
    row = _Row(list(stem), list(range(len(stem))), [0] * len(stem), [max(0, i - 1) for i in range(len(stem))])
    for number, (asked, answer) in enumerate(reading.branches, 1):
        tail = tokenizer.encode(branch_text(asked, answer), add_special_tokens=False)
        start = len(row.ids)
        row.predictor_index.extend([len(stem) - 1, *range(start, start + len(tail) - 1)])
        row.ids.extend(tail)
        row.positions.extend(range(len(stem), len(stem) + len(tail)))
        row.branch_number.extend([number] * len(tail))
    return row


def collate(rows: list[_Row], tokenizer: PreTrainedTokenizerFast) -> Batch:
    """A batch of the rows, padded on the right, with the block mask."""
    length = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), length), tokenizer.pad_token_id or 0)
    positions = torch.zeros((len(rows), length), dtype=torch.long)
    predictor_index = torch.zeros((len(rows), length), dtype=torch.long)
    branch_number = torch.full((len(rows), length), -1)
    for i, row in enumerate(rows):
        n = len(row.ids)
        ids[i, :n], positions[i, :n] = torch.tensor(row.ids), torch.tensor(row.positions)
        branch_number[i, :n] = torch.tensor(row.branch_number)
        predictor_index[i, :n] = torch.tensor(row.predictor_index)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    visible = causal & ((branch_number[:, None, :] == 0) | (branch_number[:, :, None] == branch_number[:, None, :]))
    mask = torch.zeros(len(rows), 1, length, length).masked_fill(~visible[:, None], float("-inf"))
    is_target = branch_number >= 0
    is_target[:, 0] = False
    return Batch(ids, positions, mask, is_target, _answer_weights(ids, tokenizer), predictor_index)


def _answer_weights(ids: torch.Tensor, tokenizer: PreTrainedTokenizerFast) -> torch.Tensor:
    """Weights of the tokens between each assistant mark and its end mark, both excluded; 0 for all others."""
    vocabulary = tokenizer.get_vocab()
    assistant, end = vocabulary[ASSISTANT], vocabulary[END]
    index = torch.arange(ids.shape[1]).expand_as(ids)
    opened = torch.where(ids == assistant, index, -1).cummax(dim=1).values
    closed = torch.where(ids == end, index, -1).cummax(dim=1).values
    inside = (opened > closed) & (ids != assistant)
    turn = opened.clamp(min=0)
    lengths = torch.zeros(ids.shape).scatter_add(1, turn, inside.float())
    return torch.where(inside, lengths.gather(1, turn).clamp(min=1).rsqrt(), 0.0)


def steps(
    readings: Readings, tokenizer: PreTrainedTokenizerFast, tokens: int, window: int, curriculum: Curriculum
) -> Iterator[list[Batch]]:
    """The batches of each optimizer step, without end: at least ``tokens`` tokens, rows of similar length per batch.

    Readings of more than ``window`` tokens are left out.
    """
    while True:
        rows: list[_Row] = []
        while sum(len(row.ids) for row in rows) < tokens:
            row = _row(readings.draw(curriculum.easiness), tokenizer)
            if len(row.ids) <= window:
                rows.append(row)
        groups: list[list[_Row]] = [[]]
        for row in sorted(rows, key=lambda row: len(row.ids)):
            if groups[-1] and (len(groups[-1]) + 1) * len(row.ids) > tokens // BATCHES_PER_STEP:
                groups.append([])
            groups[-1].append(row)
        yield [collate(group, tokenizer) for group in groups]
