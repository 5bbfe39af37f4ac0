"""``medground check`` on a letter, with an NLI model that knows the sentence which decides each statement."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from chains.nli import Judgement, NLIModel, Pair
from common.errors import UserError
from medground.pipeline import Pipeline

LIBRARY = {
    "zinc.jsonl": json.dumps(
        {
            "id": "z1",
            "title": "Zinc lozenges for the common cold",
            "year": 2019,
            "text": "We treated 150 adults with zinc lozenges or placebo within a day of their first symptoms. Zinc "
            "lozenges shortened colds by two days. Nausea was the most frequent adverse effect of the lozenges. Zinc "
            "lozenges did not prevent colds in household contacts.",
        }
    ),
    "statins.txt": """Statins after myocardial infarction

In this cohort of 4,000 survivors of myocardial infarction, statins lowered mortality by a fifth over five years. Muscle
pain led 3% of the patients to stop their statin. The benefit of statins was the same in women and in men. Grapefruit
juice raises the blood level of simvastatin.
""",
    "metformin.txt": """Metformin in type 2 diabetes

Metformin is the first drug to offer adults with type 2 diabetes. It does not cause weight gain. Metformin must be
stopped if the glomerular filtration rate falls below 30 ml/min. Vitamin B12 should be measured in patients who take
metformin for many years.
""",
    "sepsis.txt": """Early treatment of septic shock

Antibiotics should be given within one hour of the recognition of septic shock. Lactate should be measured again if the
first value is above 2 mmol/l. Norepinephrine is the vasopressor of first choice in septic shock. Hydroxyethyl starch
increased the need for dialysis and must not be used for resuscitation.
""",
    "asthma.txt": """Asthma in adults

Inhaled corticosteroids reduce exacerbations of asthma. Salbutamol alone does not treat the inflammation of the airways.
Smoking weakens the effect of inhaled corticosteroids. Children under five years need a spacer with a face mask.
""",
}

# Statements of the letter that the library supports, each with the supporting sentence.
SUPPORTED = {
    "Zinc lozenges make a cold two days shorter.": "Zinc lozenges shortened colds by two days.",
    "Nausea is the adverse effect that lozenges of zinc cause most often.": "Nausea was the most frequent adverse "
    "effect of the lozenges.",
    "In survivors of myocardial infarction statins lower mortality.": "statins lowered mortality by a fifth over five "
    "years.",
    "About 3% of patients stop a statin because of muscle pain.": "Muscle pain led 3% of the patients to stop their "
    "statin.",
    "Women benefit from statins as much as men do.": "The benefit of statins was the same in women and in men.",
    "Grapefruit juice increases the level of simvastatin in the blood.": "Grapefruit juice raises the blood level of "
    "simvastatin.",
    "Adults with type 2 diabetes are offered metformin first.": "Metformin is the first drug to offer adults with type "
    "2 diabetes.",
    "Metformin is stopped when the glomerular filtration rate is below 30 ml/min.": "Metformin must be stopped if the "
    "glomerular filtration rate falls below 30 ml/min.",
    "Vitamin B12 is measured after many years of metformin.": "Vitamin B12 should be measured in patients who take "
    "metformin for many years.",
    "A lactate above 2 mmol/l is measured a second time.": "Lactate should be measured again if the first value is "
    "above 2 mmol/l.",
    "Norepinephrine is the first vasopressor in septic shock.": "Norepinephrine is the vasopressor of first choice in "
    "septic shock.",
    "Exacerbations of asthma become fewer with inhaled corticosteroids.": "Inhaled corticosteroids reduce "
    "exacerbations of asthma.",
    "Smokers benefit less from inhaled corticosteroids.": "Smoking weakens the effect of inhaled corticosteroids.",
    "A child of three years needs a spacer with a face mask.": "Children under five years need a spacer with a face "
    "mask.",
}
# Statements of the letter that the library contradicts, each with the contradicting sentence.
CONTRADICTED = {
    "Zinc lozenges prevent colds in the household.": "Zinc lozenges did not prevent colds in household contacts.",
    "Metformin causes weight gain.": "It does not cause weight gain.",
    "Antibiotics may wait for six hours in septic shock.": "Antibiotics should be given within one hour of the "
    "recognition of septic shock.",
    "Hydroxyethyl starch is the best fluid for resuscitation.": "Hydroxyethyl starch increased the need for dialysis "
    "and must not be used for resuscitation.",
    "Salbutamol alone treats the inflammation of the airways.": "Salbutamol alone does not treat the inflammation of "
    "the airways.",
    "No patient stops a statin because of muscle pain.": "Muscle pain led 3% of the patients to stop their statin.",
}
EVIDENCE = {**SUPPORTED, **CONTRADICTED}
# Segments of the letter that are no statements, with their kinds.
OTHER_SEGMENTS = {
    "Dear Dr Smith,": "greeting",
    "Thank you for referring this patient.": "request",
    "MEDICATION": "heading",
    "Should the statin be stopped?": "question",
    "Please repeat the lactate.": "request",
    "Yours sincerely,": "greeting",
    "Dr A. Jones": "fragment",
}


def letter() -> str:
    supported, contradicted = list(SUPPORTED), list(CONTRADICTED)
    paragraphs = [
        ["Thank you for referring this patient.", *supported[:4], *contradicted[:2]],
        ["MEDICATION"],
        [*supported[4:9], contradicted[2], "Should the statin be stopped?", contradicted[3]],
        [*supported[9:], *contradicted[4:], "Please repeat the lactate."],
    ]
    body = "\n\n".join(map(" ".join, paragraphs))
    return f"Dear Dr Smith,\n\n{body}\n\nYours sincerely,\nDr A. Jones\n"


class PerfectNLI(NLIModel):
    """Judges by ``SUPPORTED`` and ``CONTRADICTED``; a premise without the deciding sentence is neutral."""

    labels = ("entailment", "neutral", "contradiction")

    def judge(self, pairs: Sequence[Pair]) -> list[Judgement | UserError]:
        return [self._judge(" ".join(premise.split()), hypothesis) for premise, hypothesis in pairs]

    def _judge(self, premise: str, hypothesis: str) -> Judgement:
        label = "neutral"
        if hypothesis in EVIDENCE and EVIDENCE[hypothesis] in premise:
            label = "entailment" if hypothesis in SUPPORTED else "contradiction"
        return Judgement(label=label, label_scores={name: 0.98 if name == label else 0.01 for name in self.labels})


@pytest.fixture
def check(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run ``medground check ARGUMENTS`` over the indexed library with ``PerfectNLI`` in place of an encoder."""
    monkeypatch.setattr(Pipeline, "judge", lambda self: PerfectNLI())
    folder = Path("library")
    folder.mkdir()
    for name, text in LIBRARY.items():
        (folder / name).write_text(text, encoding="utf-8")
    assert command("index", "library", "--quiet").status == 0

    def run(*arguments: str) -> Any:
        return command("check", *arguments, "--quiet", "--set", "nli.kind=encoder", "--set", "nli.model=perfect")

    return run


def test_json_report_has_the_verdict_and_quote_of_each_statement(check: Callable[..., Any]) -> None:
    Path("letter.txt").write_text(letter(), encoding="utf-8")
    outcome = check("--file", "letter.txt", "--json")
    assert outcome.status == 0
    report = json.loads(outcome.out)
    segments = report["segments"]
    checks = {segment["text"]: segment["check"] for segment in segments if segment["kind"] == "statement"}
    assert list(checks) == sorted(checks, key=letter().index)
    assert {text: check["verdict"] for text, check in checks.items()} == {
        **dict.fromkeys(SUPPORTED, "supported"),
        **dict.fromkeys(CONTRADICTED, "contradicted"),
    }
    for text, result in checks.items():
        (quote,) = result["supporting"] if text in SUPPORTED else result["contradicting"]
        assert EVIDENCE[text] in " ".join(quote["quote"].split())
    other_kinds = {segment["text"]: segment["kind"] for segment in segments if segment["kind"] != "statement"}
    assert other_kinds == OTHER_SEGMENTS
    assert report["complete"]
    assert report["counts"] == {
        "statements": 20,
        "supported": 14,
        "contradicted": 6,
        "not enough evidence": 0,
        "conflicting": 0,
        "failed": 0,
        "not statements": 7,
    }


def test_printed_report_has_the_letter_with_verdicts(check: Callable[..., Any]) -> None:
    Path("letter.txt").write_text(letter(), encoding="utf-8")
    outcome = check("--file", "letter.txt")
    assert outcome.status == 0
    printed = " ".join(outcome.out.split())
    for text in EVIDENCE:
        assert f"{text} {'Supported' if text in SUPPORTED else 'Contradicted'} by 1 passage." in printed
    assert "Dear Dr Smith, not checked: greeting" in printed
    assert outcome.out.endswith(
        "statements: 20 (14 supported, 6 contradicted); 7 parts of the text are no statements\n"
    )


def test_single_statement_is_checked(check: Callable[..., Any]) -> None:
    outcome = check("Zinc lozenges prevent colds in the household.")
    assert outcome.status == 0
    assert outcome.out.startswith("Contradicted by 1 passage.\n")
    assert "  against [library/zinc.jsonl/z1#" in outcome.out
    assert "] 2019 score 0.980" in outcome.out
    assert "household contacts.\u201d" in " ".join(outcome.out.split())
    assert json.loads(check("Metformin causes weight gain.", "--json").out)["verdict"] == "contradicted"
