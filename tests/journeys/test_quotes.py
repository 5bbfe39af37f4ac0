"""Quotes from realistic documents: the first quote answers the question, and irrelevant evidence is called weak."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import zip_longest

import pytest
from document_files import docx_file, pdf_bytes

from chains.answer import Answer
from medground.pipeline import Pipeline

GUIDELINE = """---
title: Acute gout in adults
---

# Acute gout in adults

[Home](index.md) > [Guidelines](all.md) > Gout

## Contents

- [Diagnosis](#diagnosis)
- [Treatment of the attack](#treatment-of-the-attack)
- [Prevention](#prevention)

## Diagnosis

A hot swollen joint in the foot suggests gout. Serum urate may be normal during an attack, so it is measured again
**four weeks later**. Aspirate the joint if septic arthritis cannot be excluded.

## Treatment of the attack

Gout attacks are painful. Start [naproxen](https://drugs.example/naproxen) 500 mg twice daily within 24 hours, unless
the patient has kidney disease. Colchicine 500 micrograms two to four times daily is the alternative. This is also
true of people who take warfarin.

| Drug | Dose | Stop after |
|---|---|---|
| Naproxen | 500 mg twice daily | 7 days |
| Colchicine | 500 micrograms | 4 days |
| Prednisolone | 30 mg daily | 5 days |

## Prevention

Offer allopurinol after the second attack in a year. Begin with 100 mg daily and raise the dose every four weeks until
serum urate is below 360 micromol/L. Do not stop allopurinol during an attack.

## References

1. Holm K, Brandt E. Naproxen for attacks of gout: which dose should be started? J Joint Care. 2014;22:101-9.
2. Ilves P. When should allopurinol be offered to people with gout? Urate Rev. 2016;4(2):33-40. doi:10.1111/ur.12
3. Gout Society. Treatment of gout in kidney disease. Available from: https://gout.example [Accessed 2 May 2019].
"""

TRIAL_LEFT_COLUMN = """Iron for restless legs: a trial
Background. Restless legs disturb
sleep in many adults. The aim of this
trial was to find out whether oral
iron reduces symptoms of restless
legs in adults with low ferritin.
Methods. We randomised 128 adults
with ferritin below 75 micrograms/L
to iron sulphate or placebo for 12
weeks. Symptoms were scored from 0 to
40 by a nurse who did not know the
groups."""
TRIAL_RIGHT_COLUMN = """Results. The score fell by 10 points
with iron and by 3 points with
placebo (p=0.002). Constipation was
reported by 21% of the iron group and
by 6% of the placebo group. Nine
adults left the trial early.
Conclusion. Iron relieved restless
legs when ferritin was low.
References
1. Aaltonen M. Oral iron and
restless legs. Sleep Lett. 2010;5:12-19.
2. Bauer T, Cole S. Does iron help
restless legs? J Sleep. 2012;8:1-7."""

WARD_HANDBOOK = [
    ("Title", "Ward handbook: insulin and potassium"),
    ("Heading 1", "Ketoacidosis"),
    (
        "Normal",
        "Ketoacidosis kills if it is missed. Start insulin at 0.1 units/kg/h by pump and never give a bolus first.",
    ),
    ("Normal", "Add glucose 10% when blood glucose falls below 14 mmol/L. Check ketones every hour."),
    ("Heading 1", "Potassium"),
    ("Normal", "Replacement depends on the last result."),
    (
        "table",
        "Serum potassium\tReplacement per litre\tCheck again\nabove 5.5 mmol/L\tnone\t2 hours\n"
        "3.5 to 5.5 mmol/L\t40 mmol\t4 hours\nbelow 3.5 mmol/L\tcall intensive care\t1 hour",
    ),
    ("Heading 1", "Hypoglycaemia"),
    ("Normal", "Give 20 g of fast carbohydrate to a patient who can swallow. Give glucagon 1 mg into a muscle if not."),
    ("Heading 1", "Bibliography"),
    ("Normal", "Frost, J., & Lund, A. (2015). Insulin by pump in ketoacidosis. Diabetes Ward, 7(3), 44-51."),
    ("Normal", "Petrov, I. (2018). How much glucagon is given for hypoglycaemia? Sugar Reports, 2, 5-9."),
]

FAQ = """<html><head><title>Questions about the shingles vaccine</title></head><body>
<nav><a href="/">Home</a> <a href="/vaccines">Vaccines</a></nav>
<h1>Questions about the shingles vaccine</h1>
<h2>Who should have the vaccine?</h2><p>Everyone from the age of 65, and people from 50 with a weak immune system.</p>
<h2>How many doses are needed?</h2><p>Two doses, six to twelve months apart.</p>
<h2>What are the side effects?</h2><p>A sore arm is common. One in ten people has a fever for a day or two.</p>
<h2>Can I have it with the flu jab?</h2><p>Yes, both can be given on the same day in different arms.</p>
<p>See also: <a href="https://jab.example/shingles">all about shingles</a></p>
<footer>Back to top. Copyright 2024 Jab Office. All rights reserved.</footer></body></html>"""

THESIS = """Sleep apnoea in bus drivers

Contents

Why drivers are tested .................... 3
Screening of drivers ...................... 9
How many drivers have sleep apnoea ........ 14
References ................................ 21

Why drivers are tested

Sleepy drivers cause crashes.

Screening of drivers

Drivers filled in a questionnaire at the depot. Those who scored above 10 slept one night with a pulse oximeter.

How many drivers have sleep apnoea

Of 412 drivers 71 had sleep apnoea. It was found most often in drivers with a neck wider than 43 cm.

Literature cited

[1] Ono R, Sato H. How many bus drivers have sleep apnoea? Traffic Med. 2009;31:220-6.
[2] Quist L. Screening of bus drivers for sleep apnoea. J Roads. 2013;2:14-19.
"""

# Questions with a regular expression for the answer.
ANSWERS = {
    "When is serum urate measured again after an attack of gout?": "four weeks later",
    "What dose of naproxen is started for a gout attack?": "500 mg twice daily",
    "What is the alternative to naproxen in gout?": "Colchicine",
    "After how many days is prednisolone stopped in gout?": "Stop after: 5 days",
    "When is allopurinol offered?": "after the second attack",
    "What serum urate is aimed at with allopurinol?": "below 360",
    "What is done if septic arthritis cannot be excluded?": "Aspirate the joint",
    "Should allopurinol be stopped during an attack of gout?": "Do not stop allopurinol",
    "Does oral iron reduce the symptoms of restless legs?": "10 points|relieved",
    "How many adults were randomised to iron or placebo?": "128",
    "How often did iron cause constipation?": "21%",
    "How were symptoms of restless legs scored?": "0 to",
    "How is insulin started in ketoacidosis?": "0.1 units/kg/h",
    "When is glucose added in ketoacidosis?": "below 14 mmol/L",
    "How much potassium is replaced at 3.5 to 5.5 mmol/L?": "Replacement per litre: 40 mmol",
    "What is given for hypoglycaemia to a patient who cannot swallow?": "glucagon 1 mg",
    "Who should have the shingles vaccine?": "age of 65",
    "How many doses of the shingles vaccine are needed?": "Two doses",
    "Is fever a side effect of the shingles vaccine?": "fever for a day",
    "Can the shingles vaccine be given together with the flu jab?": "same day",
    "How many bus drivers had sleep apnoea?": "71",
    "Which drivers slept with a pulse oximeter?": "above 10",
    "In which drivers was sleep apnoea found most often?": "43 cm",
}  # fmt: skip

UNANSWERABLE = [
    "Does acupuncture relieve migraine in pregnant women?",
    "What is the dose of vancomycin in endocarditis?",
    "How is a fractured wrist immobilised in children?",
    "Which antibody test confirms coeliac disease?",
    "Does smoking raise the risk of bladder cancer?",
    "How often is a mammogram offered after breast surgery?",
    "What is the survival after liver transplantation?",
    "Is zinc useful against the common cold?",
    "How long should a patient fast before a colonoscopy?",
    "Which inhaler is used first in chronic obstructive lung disease?",
]

# Markdown, tables of contents, journals in the lists of references, and navigation.
MARKUP_OR_REFERENCE = re.compile(
    r"\]\(|https?://|\*\*|^\||\.{4}|J Joint|Urate Rev|Sleep Lett|J Sleep|Diabetes Ward|Sugar Reports|Traffic Med"
    r"|J Roads|Back to top|Home"
)


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Answer]]:
    """A function that answers with the default chain over the documents, and embeds no text twice."""
    from medground.ingest import add_documents, embed
    from medground.settings import load_settings
    from retrievers.embedders.minilm import MiniLMEmbedder

    vectors: dict[str, list[float]] = {}
    embed_documents = MiniLMEmbedder.embed_documents

    def embed_once(embedder: MiniLMEmbedder, texts: list[str]) -> list[list[float]]:
        new = [text for text in dict.fromkeys(texts) if text not in vectors]
        vectors.update(zip(new, embed_documents(embedder, new), strict=True))
        return [vectors[text] for text in texts]

    folder = tmp_path_factory.mktemp("documents")
    (folder / "gout.md").write_text(GUIDELINE)
    lines = zip_longest(TRIAL_LEFT_COLUMN.split("\n"), TRIAL_RIGHT_COLUMN.split("\n"), fillvalue="")
    (folder / "legs.pdf").write_bytes(pdf_bytes(["\n".join(f"{left}\t{right}" for left, right in lines)]))
    docx_file(folder / "ward.docx", WARD_HANDBOOK, title="Ward handbook: insulin and potassium")
    (folder / "shingles.html").write_text(FAQ)
    (folder / "apnoea.txt").write_text(THESIS)
    settings = load_settings(None, {"store.path": str(folder / "store"), "embedders.minilm.dtype": "float32"})
    corpus, intake = add_documents(settings, [folder], quiet=True)
    assert intake.added == 5
    embed(settings, corpus, quiet=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MiniLMEmbedder, "embed_documents", embed_once)
        yield cache(Pipeline.from_settings(settings, corpus, quiet=True).chain().invoke)


# The limits are the numbers of failures that are known. A change of the ranking may not raise them.


def test_first_quote_answers_most_questions(ask: Callable[[str], Answer]) -> None:
    answers = {question: ask(question) for question in ANSWERS}
    wrong = {
        question: answer.citations[0].readable
        for question, answer in answers.items()
        if not re.search(ANSWERS[question], answer.citations[0].readable)
    }
    assert len(wrong) <= 4, wrong
    weak = [question for question, answer in answers.items() if any("weak" in note for note in answer.notes)]
    assert len(weak) <= 3, weak


def test_quotes_have_no_references_and_no_markup(ask: Callable[[str], Answer]) -> None:
    for question in (*ANSWERS, *UNANSWERABLE):
        for citation in ask(question).citations:
            assert not MARKUP_OR_REFERENCE.search(citation.readable), (question, citation.readable)


def test_evidence_for_most_unanswerable_questions_is_weak(ask: Callable[[str], Answer]) -> None:
    not_weak = [question for question in UNANSWERABLE if not any("weak" in note for note in ask(question).notes)]
    assert len(not_weak) <= 2, not_weak
