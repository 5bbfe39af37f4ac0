"""Readings as tensors: the stem once, every branch behind it, seen by itself and the stem alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from finetune.tiny.readings import ASSISTANT, END, Reading, Readings, branch_text

POOL = 96  # readings that are drawn, sorted by length and cut into batches at a time


class Ease:
    """How easy the readings are now: 1 at the start, falling to 0 over the first steps; also the seeded shuffle."""

    def __init__(self, seed: int) -> None:
        self.now = 1.0
        self.generator = torch.Generator().manual_seed(seed)


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of rows x length: token ids, positions (restarted for each branch), answer tokens and real tokens.

    ``mask`` is rows x 1 x length x length and additive (0 or -inf); ``answers`` marks the assistant's turns; ``real``
    is false for padding; ``before`` is the index of the token that predicts each token: its predecessor, or the
    stem's last one.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    answers: torch.Tensor
    real: torch.Tensor
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
    """Pads ``rows`` on the right to the longest and builds the block mask."""
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
    return Batch(ids, positions, mask, _answers(ids, tokenizer), branch >= 0, before)


def _answers(ids: torch.Tensor, tokenizer: PreTrainedTokenizerFast) -> torch.Tensor:
    """The tokens behind each assistant mark up to the end mark, the end mark included."""
    vocabulary = tokenizer.get_vocab()
    assistant, end = vocabulary[ASSISTANT], vocabulary[END]
    index = torch.arange(ids.shape[1]).expand_as(ids)
    opened = torch.where(ids == assistant, index, -1).cummax(dim=1).values
    closed = torch.where(ids == end, index, -1).cummax(dim=1).values
    closed_before = torch.cat([torch.full_like(closed[:, :1], -1), closed[:, :-1]], dim=1)
    answers: torch.Tensor = (opened > closed_before) & (ids != assistant)
    return answers


def batches(
    stream: Readings, tokenizer: PreTrainedTokenizerFast, tokens: int, window: int, ease: Ease
) -> Iterator[Batch]:
    """An endless stream of batches of at most ``tokens`` padded tokens, from readings of at most ``window`` tokens."""
    while True:
        rows = [_row(stream.draw(ease.now), tokenizer) for _ in range(POOL)]
        rows = sorted((row for row in rows if len(row.ids) <= window), key=lambda row: len(row.ids))
        groups: list[list[_Row]] = [[]]
        for row in rows:
            if groups[-1] and (len(groups[-1]) + 1) * len(row.ids) > tokens:
                groups.append([])
            groups[-1].append(row)
        for place in torch.randperm(len(groups), generator=ease.generator).tolist():
            yield collate(groups[place], tokenizer)
