"""Readings as tensors: the stem once, then its branches, each of which attends to the stem and to itself."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from tools.tiny.readings import Readings
from tools.tiny.wording import ASSISTANT, END, Reading, branch_text

PARTS = 4  # approximate number of batches of a step, each with readings of similar length


class Ease:
    """The current ease of the readings, from 1 down to 0; shared by trainer and stream."""

    def __init__(self) -> None:
        self.now = 1.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of rows x length: token ids, positions (restarted for each branch), and which tokens count.

    ``mask`` is rows x 1 x length x length and additive (0 or -inf); ``predicted`` is false for padding and for a row's
    first token; ``answers`` weighs the assistant's turns, each token of an n-token turn with 1 / sqrt(n); ``before`` is
    the index of the token that predicts each token: its predecessor, or the stem's last one.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    predicted: torch.Tensor
    answers: torch.Tensor
    before: torch.Tensor


@dataclass(frozen=True, slots=True)
class _Row:
    ids: list[int]
    positions: list[int]
    branch: list[int]
    before: list[int]


def _row(reading: Reading, tokenizer: PreTrainedTokenizerFast) -> _Row:
    stem = tokenizer.encode(reading.stem, add_special_tokens=False)
    row = _Row(list(stem), list(range(len(stem))), [0] * len(stem), [max(0, i - 1) for i in range(len(stem))])
    for number, (asked, answer) in enumerate(reading.branches, 1):
        tail = tokenizer.encode(branch_text(asked, answer), add_special_tokens=False)
        start = len(row.ids)
        row.before.extend([len(stem) - 1, *range(start, start + len(tail) - 1)])
        row.ids.extend(tail)
        row.positions.extend(range(len(stem), len(stem) + len(tail)))
        row.branch.extend([number] * len(tail))
    return row


def collate(rows: list[_Row], tokenizer: PreTrainedTokenizerFast) -> Batch:
    """A batch of the rows, padded on the right, with the block mask."""
    length = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), length), tokenizer.pad_token_id or 0)
    positions = torch.zeros((len(rows), length), dtype=torch.long)
    before = torch.zeros((len(rows), length), dtype=torch.long)
    branch = torch.full((len(rows), length), -1)
    for i, row in enumerate(rows):
        n = len(row.ids)
        ids[i, :n], positions[i, :n] = torch.tensor(row.ids), torch.tensor(row.positions)
        branch[i, :n], before[i, :n] = torch.tensor(row.branch), torch.tensor(row.before)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    visible = causal & ((branch[:, None, :] == 0) | (branch[:, :, None] == branch[:, None, :]))
    mask = torch.zeros(len(rows), 1, length, length).masked_fill(~visible[:, None], float("-inf"))
    predicted = branch >= 0
    predicted[:, 0] = False
    return Batch(ids, positions, mask, predicted, _answers(ids, tokenizer), before)


def _answers(ids: torch.Tensor, tokenizer: PreTrainedTokenizerFast) -> torch.Tensor:
    """Weights of the tokens after each assistant mark up to the end mark; 0 for all others."""
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
    stream: Readings, tokenizer: PreTrainedTokenizerFast, tokens: int, window: int, ease: Ease
) -> Iterator[list[Batch]]:
    """An endless stream of steps, each of about ``tokens`` tokens in batches of similar length.

    Readings of more than ``window`` tokens are left out.
    """
    while True:
        rows: list[_Row] = []
        while sum(len(row.ids) for row in rows) < tokens:
            row = _row(stream.draw(ease.now), tokenizer)
            if len(row.ids) <= window:
                rows.append(row)
        groups: list[list[_Row]] = [[]]
        for row in sorted(rows, key=lambda row: len(row.ids)):
            if groups[-1] and (len(groups[-1]) + 1) * len(row.ids) > tokens // PARTS:
                groups.append([])
            groups[-1].append(row)
        yield [collate(group, tokenizer) for group in groups]
