"""Fine-tunes a passage-ranking cross-encoder as an NLI judge and as a ranker of quotes.

    python benchmarks/ranker.py --data DIR --work DIR [--model FOLDER] [--only judge | quotes]

judge   HealthVer's published division: trained on the training claims (``DIR/healthver_claims``, in SciFact's layout)
        and the pairs of the test file (``DIR/healthver_test``), of which 40 claims choose the checkpoint, the
        temperature and the threshold; the claims of the dev file (``DIR/healthver``) are checked. No checked claim is
        in training, but most of its evidence is, with other claims.
quotes  Citation Integrity (``DIR/citint``, in SciFact's layout): trained on claims of the training and test parts and
        sentences of the papers that they cite, without the papers of the dev claims. Measured by
        ``citations.py --claims DIR/citint --part dev --cross-encoder WORK/models/quotes``.

Figures are stored and steps resumed as in real_models.py.
"""

import csv
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench
import torch
from citations import paper_number, read_claims
from healthver_pairs import claim_pairs, normalized, published_pair, write_splits
from real_models import ENCODER, Steps, check_claims, encoder_settings, folder_settings, format_figures
from transformers import AutoModelForSequenceClassification, AutoTokenizer

DEV_CLAIMS = 40  # of HealthVer's test file
NEUTRAL_PAIRS = 2  # maximum for a training claim and a document that does not decide it
CLAIMS_PER_BATCH = 8
SENTENCES_PER_CLAIM = 6
WARMUP_STEPS = 60


def write_judge_pairs(data: Path, folder: Path) -> None:
    """Write the pairs of HealthVer's published division to ``folder``; those of the dev file are the test split."""
    rng = random.Random(0)
    test = _published_pairs(data / "healthver" / "healthver_dev.csv", "dev")
    test_file_pairs = _published_pairs(data / "healthver_test" / "healthver_test.csv", "test")
    claims = {normalized(pair["hypothesis"]) for pair in test_file_pairs}
    dev_claims = set(rng.sample(sorted(claims), DEV_CLAIMS))
    held_out = dev_claims | {normalized(pair["hypothesis"]) for pair in test}
    train = claim_pairs(data / "healthver_claims", rng, held_out, neutral=NEUTRAL_PAIRS)
    train += [pair for pair in test_file_pairs if normalized(pair["hypothesis"]) not in dev_claims]
    dev = [pair for pair in test_file_pairs if normalized(pair["hypothesis"]) in dev_claims]
    write_splits(folder, {"train": train, "dev": dev, "test": test})


def _published_pairs(path: Path, name: str) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return [published_pair(row, name) for row in csv.DictReader(lines)]


@dataclass(frozen=True, slots=True)
class Ranking:
    """A claim and the sentences to rank for it; ``labelled`` are the indices of the evidence."""

    claim: str
    sentences: list[str]
    labelled: frozenset[int]


def train_quotes(ranker: str, citint: Path, output: Path, rate: float = 3e-5) -> None:
    """Fine-tune ``ranker`` to rank labelled sentences first, for one epoch, and save it.

    The loss of a claim is the negative logarithm of the softmax weight of its labelled sentences among those of the
    batch (one labelled sentence and five others, where the paper has more).
    """
    torch.manual_seed(0)
    rng = random.Random(0)
    held_out = {paper_number(citation.document) for citation in read_claims(citint, "dev", None)[0]}
    rankings: list[tuple[int, Ranking]] = []
    for part in ("train", "test"):
        citations, candidates = read_claims(citint, part, None)
        for each in citations:
            if (paper := paper_number(each.document)) not in held_out:
                rankings.append((paper, Ranking(each.claim, candidates[each.document], each.labelled)))
    rng.shuffle(rankings)
    train = [ranking for paper, ranking in rankings if paper % 10]  # the recipe was chosen on the other papers
    tokenizer = AutoTokenizer.from_pretrained(ranker)
    model = AutoModelForSequenceClassification.from_pretrained(ranker, num_labels=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    rng.shuffle(train)
    steps = math.ceil(len(train) / CLAIMS_PER_BATCH)
    model.train()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * min(1, (step + 1) / WARMUP_STEPS) * (1 - step / steps)
        start = step * CLAIMS_PER_BATCH
        batch = [_sample_sentences(ranking, rng) for ranking in train[start : start + CLAIMS_PER_BATCH]]
        logits = _logits(model, tokenizer, batch).split([len(ranking.sentences) for ranking in batch])
        losses = [
            torch.logsumexp(each, 0) - torch.logsumexp(each[sorted(ranking.labelled)], 0)
            for each, ranking in zip(logits, batch, strict=True)
        ]
        loss = torch.stack(losses).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 10 == 0:
            print(f"step {step + 1} of {steps}: loss {loss.item():.3f}", flush=True)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)


def _sample_sentences(ranking: Ranking, rng: random.Random) -> Ranking:
    """The ranking cut to ``SENTENCES_PER_CLAIM``: a random labelled sentence and random unlabelled ones."""
    count = len(ranking.sentences)
    if count <= SENTENCES_PER_CLAIM:
        return ranking
    labelled = rng.choice(sorted(ranking.labelled))
    others = [number for number in range(count) if number not in ranking.labelled]
    chosen = [labelled, *rng.sample(others, min(SENTENCES_PER_CLAIM - 1, len(others)))]
    return Ranking(ranking.claim, [ranking.sentences[number] for number in chosen], frozenset({0}))


def _logits(model: Any, tokenizer: Any, batch: Sequence[Ranking]) -> torch.Tensor:
    """The model's output for each claim and sentence, in four passes over texts of similar length."""
    pairs = [(ranking.claim, sentence) for ranking in batch for sentence in ranking.sentences]
    inputs = tokenizer([a for a, _ in pairs], [b for _, b in pairs], truncation=True, max_length=160)
    order = sorted(range(len(pairs)), key=lambda index: len(inputs["input_ids"][index]))
    size = math.ceil(len(pairs) / 4)
    outputs = [
        model(**tokenizer.pad([{name: inputs[name][i] for name in inputs} for i in chunk], return_tensors="pt")).logits
        for chunk in (order[start : start + size] for start in range(0, len(order), size))
    ]
    return torch.cat(outputs)[:, 0][torch.argsort(torch.tensor(order))]


def main() -> None:
    """Train and measure the judge and the ranker, print and write the figures."""
    parser = bench.make_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--work", type=Path, required=True, help="folder of figures, models and results")
    parser.add_argument("--model", default="cross-encoder/ms-marco-MiniLM-L12-v2", help="cross-encoder to fine-tune")
    parser.add_argument("--only", choices=("judge", "quotes"), help="train for this use only")
    options = parser.parse_args()
    data, steps = options.data.expanduser().absolute(), Steps(options.work.expanduser().absolute())
    recipe = {**ENCODER, "model": options.model}
    if options.only != "quotes":
        pairs = steps.work / "judge-pairs"
        write_judge_pairs(data, pairs)
        judge = steps.train(
            "judge",
            "encoder",
            folder_settings(pairs),
            {**recipe, "learning_rate": 1e-4, "every": 150, "max_length": 192},
        )
        steps.evaluate("judge", folder_settings(pairs), encoder_settings(judge))
        check_claims(steps, "judge", pairs, encoder_settings(judge))
    if options.only != "judge":
        train_quotes(options.model, data / "citint", steps.work / "models" / "quotes")
    print(format_figures(steps.done))
    bench.write_report(options.output, {"steps": steps.done})


if __name__ == "__main__":
    bench.run(main)
