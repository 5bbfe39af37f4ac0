import time

import pytest

from corpus.documents.pages import join_pages, without_running_heads


def test_running_heads_and_feet_are_removed() -> None:
    bodies = ["Gout is common.", "It hurts.", "It passes.", "It returns."]
    pages = [f"J Med 2021;14:10{n}\n{body}\n{n + 1} of 4" for n, body in enumerate(bodies)]
    assert without_running_heads(pages) == bodies
    alternating = [f"{'Gout' if n % 2 else 'Brook et al.'}  {n}\n{body}" for n, body in enumerate(bodies * 2)]
    assert without_running_heads(alternating) == bodies * 2
    roman = [f"{body}\n{number}" for body, number in zip(bodies, ("ii", "iii", "iv", "v"), strict=True)]
    assert without_running_heads(roman) == bodies
    numbered = [f"102 Clinical Letters\n{bodies[0]}", f"Clinical Letters | 103\n{bodies[1]}"]
    assert without_running_heads(numbered) == bodies[:2]


def test_similar_forms_and_single_page_are_unchanged() -> None:
    forms = [f"Name: A{n}\nGiven: {n} mg" for n in range(5)]
    assert without_running_heads(forms) == forms
    assert without_running_heads(["One page."]) == ["One page."]


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        (
            ["We found no evidence that it", "reduced pain. It was safe."],
            ["We found no evidence that it\nreduced pain.", "It was safe."],
        ),
        (["The colitis of", "Crohn disease hurts. So it is."], ["The colitis of\nCrohn disease hurts.", "So it is."]),
        (["It was seen by Dr.", "Lee on the ward. He left."], ["It was seen by Dr.\nLee on the ward.", "He left."]),
        (
            ["It was safe in all of the women", "", "who took it. Next."],
            ["It was safe in all of the women\nwho took it.", "", "Next."],
        ),
        (
            ["It was safe in most of the women", "Methods\nWe asked them."],
            ["It was safe in most of the women", "Methods\nWe asked them."],
        ),
    ],
)
def test_sentence_across_a_page_break_is_joined(pages: list[str], expected: list[str]) -> None:
    assert join_pages(pages) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("severe hypo-\nglycaemia", "severe hypoglycaemia"),
        ("severe hypo‐\nglycaemia", "severe hypoglycaemia"),
        ("severe hypo\u00ad\nglycaemia", "severe hypoglycaemia"),
        ("schwere Unter-\nzuckerung", "schwere Unterzuckerung"),
        ("a low-\ndose regimen", "a low-dose regimen"),
        ("power-\nenhancing", "power-enhancing"),
        ("anti-\nTNF drugs", "anti-TNF drugs"),
        ("the anti-body; anti-\nbody", "the anti-body; anti-body"),
        ("5-\n10 mg", "5-\n10 mg"),
    ],
)
def test_word_broken_at_a_line_end_is_joined(text: str, expected: str) -> None:
    assert join_pages([text]) == [expected]


def test_similar_pages_keep_their_body() -> None:
    pages = [f"Zinc in hives\nZinc was given to {count} adults.\nPage {count} of 3" for count in (1, 2, 3)]
    assert without_running_heads(pages) == [f"Zinc was given to {count} adults." for count in (1, 2, 3)]


def test_footnote_follows_the_joined_sentence() -> None:
    pages = [
        "There was no sign that zinc\n1 Funded by the Office of Trials.",
        "lowered blood pressure. Cough was rare.",
    ]
    assert join_pages(pages) == [
        "There was no sign that zinc\nlowered blood pressure.\n\n1 Funded by the Office of Trials.",
        "Cough was rare.",
    ]
    complete = ["Zinc was given.\n1 Funded by the Office of Trials.", "It was cheap."]
    assert join_pages(complete) == complete
    numbered = ["It was seen in trial\n17 Zinc halved the", "number of deaths. It was cheap."]
    assert join_pages(numbered)[0] == "It was seen in trial\n17 Zinc halved the\nnumber of deaths."


def test_unfinished_sentence_is_joined_unless_it_may_be_a_heading() -> None:
    first = "Aspirin did not help the men.\nPain fell in women. In group"
    second = "502 of this trial tarvinol raised\nLDL in all adults. Nobody died."
    assert join_pages([first, second])[0].endswith("In group\n502 of this trial tarvinol raised\nLDL in all adults.")
    heading = "Doses of tarvinol\nAdults take 5 mg."
    assert join_pages(["Pain fell in women.\nAspirin", heading])[1] == heading


def test_long_word_is_joined_quickly() -> None:
    start = time.process_time()
    assert join_pages(["a" * 300_000 + "-\nb"]) == ["a" * 300_000 + "b"]
    assert time.process_time() - start < 2
