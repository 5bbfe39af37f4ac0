"""A pretrained cross-encoder that ranks passages, fine-tuned as a judge and as a ranker of quotes.

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
import random
from pathlib import Path

import bench
from citations import paper_number, read_claims
from real_models import (
    ENCODER,
    Steps,
    check_claims,
    claim_pairs,
    encoder_settings,
    folder_settings,
    normalized,
    published_pair,
    table,
    write_splits,
)

DEV_CLAIMS = 40
NEUTRAL_PAIRS = 2  # of a training claim and a document that does not decide it


def judge_pairs(data: Path, folder: Path) -> None:
    """Write the pairs of HealthVer's published division to ``folder``; those of the dev file are the test split."""
    rng = random.Random(0)
    test = _published_pairs(data / "healthver" / "healthver_dev.csv", "dev")
    other = _published_pairs(data / "healthver_test" / "healthver_test.csv", "test")
    claims = {normalized(pair["hypothesis"]) for pair in other}
    dev_claims = set(rng.sample(sorted(claims), DEV_CLAIMS))
    held_out = dev_claims | {normalized(pair["hypothesis"]) for pair in test}
    train = claim_pairs(data / "healthver_claims", rng, held_out, neutral=NEUTRAL_PAIRS)
    train += [pair for pair in other if normalized(pair["hypothesis"]) not in dev_claims]
    dev = [pair for pair in other if normalized(pair["hypothesis"]) in dev_claims]
    write_splits(folder, {"train": train, "dev": dev, "test": test})


def _published_pairs(path: Path, name: str) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return [published_pair(row, name) for row in csv.DictReader(lines)]


def quote_pairs(citint: Path, folder: Path) -> None:
    """Write pairs of a claim and a sentence of the cited paper; unlabelled sentences are "neutral".

    A training claim has up to two labelled and three other sentences. One in ten papers is for dev: half of the claims
    that cite it, each with all sentences.
    """
    rng = random.Random(0)
    held_out = {paper_number(citation.document) for citation in read_claims(citint, "dev", None)[0]}
    rows: dict[str, list[dict[str, str]]] = {"train": [], "dev": []}
    for part in ("train", "test"):
        citations, candidates = read_claims(citint, part, None)
        for index, citation in enumerate(citations):
            paper, sentences = paper_number(citation.document), candidates[citation.document]
            if paper in held_out:
                continue
            labelled = sorted(citation.labelled)
            others = [number for number in range(len(sentences)) if number not in citation.labelled]
            split = "train" if paper % 10 else "dev"
            if split == "train":
                labelled = rng.sample(labelled, min(2, len(labelled)))
                others = rng.sample(others, min(3, len(others)))
            elif rng.random() > 0.5:
                continue
            rows[split] += [
                {
                    "id": f"{part}-{index}-{number}",
                    "premise": citation.claim,
                    "hypothesis": sentences[number],
                    "label": "entailment" if number in citation.labelled else "neutral",
                }
                for number in (*labelled, *others)
            ]
    write_splits(folder, rows)


def main() -> None:
    """Train and measure what ``--only`` names, print a table and write the figures."""
    parser = bench.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--work", type=Path, required=True, help="folder of figures, models and results")
    parser.add_argument("--model", default="cross-encoder/ms-marco-MiniLM-L12-v2", help="cross-encoder to fine-tune")
    parser.add_argument("--only", choices=("judge", "quotes"), help="train for this use only")
    options = parser.parse_args()
    data, steps = options.data.expanduser().absolute(), Steps(options.work.expanduser().absolute())
    recipe = {**ENCODER, "model": options.model}
    if options.only != "quotes":
        pairs = steps.work / "judge-pairs"
        judge_pairs(data, pairs)
        judge = steps.train(
            "judge",
            "encoder",
            folder_settings(pairs),
            {**recipe, "learning_rate": 1e-4, "every": 150, "max_length": 192},
        )
        steps.evaluate("judge", folder_settings(pairs), encoder_settings(judge))
        check_claims(steps, "judge", pairs, encoder_settings(judge))
    if options.only != "judge":
        pairs = steps.work / "quote-pairs"
        quote_pairs(data / "citint", pairs)
        steps.train(
            "quotes",
            "encoder",
            folder_settings(pairs),
            {**recipe, "learning_rate": 3e-5, "epochs": 1, "every": 200, "max_length": 160},
        )
    print(table(steps.done))
    bench.write_report(options.output, {"steps": steps.done})


if __name__ == "__main__":
    bench.run(main)
