"""Readings as batches of tensors.

A row is a reading: a text (stem) with several question-answer pairs (branches). Each branch attends to the stem and to
itself only, so that the stem is computed once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from tools.tiny.readings import Readings
from tools.tiny.wording import ASSISTANT, END, Reading, branch_text

BATCHES_PER_STEP = 4  # approximately


class Curriculum:
    """Position in the curriculum: ``easiness`` 1 draws easy readings, 0 the full mixture; ``train_tiny`` sets it."""

    def __init__(self) -> None:
        self.easiness = 1.0


@dataclass(frozen=True, slots=True)
class Batch:
    """The tensors of a batch, of shape (rows, length) unless stated otherwise.

    Attributes:
        ids: token ids.
        positions: positions of the tokens; each branch follows the stem.
        mask: additive attention mask (0 or -inf) of shape (rows, 1, length, length).
        is_target: whether the token counts in the loss; false for padding and for a row's first token.
        answer_weights: loss weight of an answer's token, 1 / sqrt(n) in an answer of n tokens; 0 for other tokens.
        predictor_index: index of the token that predicts this one: its predecessor, or the stem's last token for the
            first of a branch.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    is_target: torch.Tensor
    answer_weights: torch.Tensor
    predictor_index: torch.Tensor


@dataclass(frozen=True, slots=True)
class Row:
    """A tokenised reading; the lists have an entry for each token."""

    ids: list[int]
    positions: list[int]
    branch_number: list[int]  # 0 for the stem, from 1 for branches; padded with -1
    predictor_index: list[int]


def make_row(reading: Reading, tokenizer: PreTrainedTokenizerFast) -> Row:
    """Tokenise a reading."""
    stem = tokenizer.encode(reading.stem, add_special_tokens=False)
    row = Row(list(stem), list(range(len(stem))), [0] * len(stem), [max(0, index - 1) for index in range(len(stem))])
    for number, (question, answer) in enumerate(reading.branches, 1):
        branch = tokenizer.encode(branch_text(question, answer), add_special_tokens=False)
        start = len(row.ids)
        row.predictor_index.extend([len(stem) - 1, *range(start, start + len(branch) - 1)])
        row.ids.extend(branch)
        row.positions.extend(range(len(stem), len(stem) + len(branch)))
        row.branch_number.extend([number] * len(branch))
    return row


def collate(rows: list[Row], tokenizer: PreTrainedTokenizerFast) -> Batch:
    """A batch of the rows, padded on the right."""
    length = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), length), tokenizer.pad_token_id or 0)
    positions = torch.zeros((len(rows), length), dtype=torch.long)
    predictor_index = torch.zeros((len(rows), length), dtype=torch.long)
    branch_number = torch.full((len(rows), length), -1)
    for index, row in enumerate(rows):
        tokens = slice(len(row.ids))
        ids[index, tokens] = torch.tensor(row.ids)
        positions[index, tokens] = torch.tensor(row.positions)
        branch_number[index, tokens] = torch.tensor(row.branch_number)
        predictor_index[index, tokens] = torch.tensor(row.predictor_index)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    visible = causal & ((branch_number[:, None, :] == 0) | (branch_number[:, :, None] == branch_number[:, None, :]))
    mask = torch.zeros(len(rows), 1, length, length).masked_fill(~visible[:, None], float("-inf"))
    is_target = branch_number >= 0
    is_target[:, 0] = False
    return Batch(ids, positions, mask, is_target, _answer_weights(ids, tokenizer), predictor_index)


def _answer_weights(ids: torch.Tensor, tokenizer: PreTrainedTokenizerFast) -> torch.Tensor:
    """The weights of the tokens between each assistant token and its end token; 0 for all other tokens."""
    vocabulary = tokenizer.get_vocab()
    assistant, end = vocabulary[ASSISTANT], vocabulary[END]
    index = torch.arange(ids.shape[1]).expand_as(ids)
    last_assistant = torch.where(ids == assistant, index, -1).cummax(dim=1).values
    last_end = torch.where(ids == end, index, -1).cummax(dim=1).values
    in_answer = (last_assistant > last_end) & (ids != assistant)
    answer = last_assistant.clamp(min=0)
    lengths = torch.zeros(ids.shape).scatter_add(1, answer, in_answer.float())
    return torch.where(in_answer, lengths.gather(1, answer).clamp(min=1).rsqrt(), 0.0)


def draw_steps(
    readings: Readings, tokenizer: PreTrainedTokenizerFast, tokens: int, window: int, curriculum: Curriculum
) -> Iterator[list[Batch]]:
    """The batches of each optimizer step, endlessly.

    A step has at least ``tokens`` tokens, and a batch rows of similar length. Readings of more than ``window`` tokens
    are left out.
    """
    while True:
        rows: list[Row] = []
        while sum(len(row.ids) for row in rows) < tokens:
            row = make_row(readings.draw(curriculum.easiness), tokenizer)
            if len(row.ids) <= window:
                rows.append(row)
        groups: list[list[Row]] = [[]]
        for row in sorted(rows, key=lambda row: len(row.ids)):
            if groups[-1] and (len(groups[-1]) + 1) * len(row.ids) > tokens // BATCHES_PER_STEP:
                groups.append([])
            groups[-1].append(row)
        yield [collate(group, tokenizer) for group in groups]
