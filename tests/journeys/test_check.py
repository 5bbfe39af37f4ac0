"""A letter checked against indexed documents, by a judge that knows which sentence decides each statement."""

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

# Each statement of the letter with the sentence that decides it and how; the last six are false.
TRUE = {
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
FALSE = {
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
NO_STATEMENTS = {
    "Dear Dr Smith,": "greeting",
    "Thank you for referring this patient.": "request",
    "MEDICATION": "heading",
    "Should the statin be stopped?": "question",
    "Please repeat the lactate.": "request",
    "Yours sincerely,": "greeting",
    "Dr A. Jones": "fragment",
}


def letter() -> str:
    true, false = list(TRUE), list(FALSE)
    paragraphs = [
        ["Thank you for referring this patient.", *true[:4], *false[:2]],
        ["MEDICATION"],
        [*true[4:9], false[2], "Should the statin be stopped?", false[3]],
        [*true[9:], *false[4:], "Please repeat the lactate."],
    ]
    body = "\n\n".join(" ".join(one) for one in paragraphs)
    return f"Dear Dr Smith,\n\n{body}\n\nYours sincerely,\nDr A. Jones\n"


class Perfect(NLIModel):
    """Knows the sentences that decide the letter's statements; of any other premise it says neutral."""

    labels = ("entailment", "neutral", "contradiction")

    def judge(self, pairs: Sequence[Pair]) -> list[Judgement | UserError]:
        return [self._one(" ".join(premise.split()), hypothesis) for premise, hypothesis in pairs]

    def _one(self, premise: str, hypothesis: str) -> Judgement:
        label = "neutral"
        for known, found in ((TRUE, "entailment"), (FALSE, "contradiction")):
            if hypothesis in known and known[hypothesis] in premise:
                label = found
        return Judgement(label=label, label_scores={one: 0.98 if one == label else 0.01 for one in self.labels})


@pytest.fixture
def indexed(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The commands over the indexed library, with the perfect judge in place of a sequence classifier."""
    monkeypatch.setattr(Pipeline, "judge", lambda self: Perfect())
    folder = Path("library")
    folder.mkdir()
    for name, text in LIBRARY.items():
        (folder / name).write_text(text, encoding="utf-8")
    assert command("index", "library", "--quiet").status == 0

    def check(*arguments: str) -> Any:
        return command("check", *arguments, "--quiet", "--set", "nli.kind=encoder", "--set", "nli.model=perfect")

    return check


def test_the_false_statements_of_a_letter_are_marked(indexed: Callable[..., Any]) -> None:
    Path("letter.txt").write_text(letter(), encoding="utf-8")
    outcome = indexed("--file", "letter.txt", "--json")
    assert outcome.status == 0
    report = json.loads(outcome.out)
    checks = {one["text"]: one["check"] for one in report["segments"] if one["kind"] == "statement"}
    assert list(checks) == sorted(checks, key=letter().index)
    assert set(checks) == {*TRUE, *FALSE}
    assert {text for text, one in checks.items() if one["verdict"] == "contradicted"} == set(FALSE)
    assert {text for text, one in checks.items() if one["verdict"] == "supported"} == set(TRUE)
    for text, one in checks.items():
        (quote,) = one["supporting"] if text in TRUE else one["contradicting"]
        assert {**TRUE, **FALSE}[text] in " ".join(quote["quote"].split())
    assert {one["text"]: one["kind"] for one in report["segments"] if one["kind"] != "statement"} == NO_STATEMENTS
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


def test_the_printed_report_is_the_text_with_its_verdicts(indexed: Callable[..., Any]) -> None:
    Path("letter.txt").write_text(letter(), encoding="utf-8")
    outcome = indexed("--file", "letter.txt")
    assert outcome.status == 0
    printed = " ".join(outcome.out.split())
    for text in (*TRUE, *FALSE):
        assert f"{text} {'Supported' if text in TRUE else 'Contradicted'} by 1 passage." in printed
    assert "Dear Dr Smith, not checked: greeting" in printed
    assert outcome.out.endswith(
        "statements: 20 (14 supported, 6 contradicted); 7 parts of the text are no statements\n"
    )


def test_one_statement(indexed: Callable[..., Any]) -> None:
    outcome = indexed("Zinc lozenges prevent colds in the household.")
    assert outcome.status == 0
    assert outcome.out.startswith("Contradicted by 1 passage.\n")
    assert "  against [library/zinc.jsonl/z1#" in outcome.out
    assert "] 2019 score 0.980" in outcome.out
    assert "household contacts.\u201d" in " ".join(outcome.out.split())
    assert json.loads(indexed("Metformin causes weight gain.", "--json").out)["verdict"] == "contradicted"
