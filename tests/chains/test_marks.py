import random
import time

import pytest

from chains.answer import Passage
from chains.marks import MarkWriter, cited_sentences, find_marks, passage_numbers, renumbered, without_marks

# Texts with complete, nested and cut-off marks, and with brackets that are no marks.
TEXTS = [
    "Aspirin helps [1]. It is cheap [2, 3]. See [1-3] and [[2]].",
    "  [9] It starts so. CI [2-9]. The median was 4 [12-30] days [1]. [",
    "Ends with a cut mark [1, 2",
    "Code a[0] and b[i] and [[x]] and [10.1] and [a] and [] stay. [7]\n\n[2] Last.",
    "Broken [1,\n2] lines, and [1] too many [" + ", ".join(map(str, range(1, 80))) + "] numbers.",
    f"A wide [1{' ' * 300}] bracket.",
    "Cut [" + "1, " * 90,
    "Also 【1】 and ［2］ and [ID:3] and [文献1].\r\n [3]",
    r"Escaped \[1\] and \[2, 3\], cut \[1",
    "A word<sup>1</sup> and <sup>18</sup>F and m<sup>2</sup>. ##2$$ (Passage 1; passage 3) (in part) ##1$",
    "Zinc helps \ue200cite\ue202turn0search5\ue202turn1view0\ue201. Safe [doc_1] [Doc. 1; Doc. 2]. \ue200cite",
]


def rewritten(text: str, passages: int = 3) -> str:
    return "".join(MarkWriter(passages).write([text]))


def test_repeated_passage_has_the_number_of_its_first_position() -> None:
    passages = [Passage(id=id, text="") for id in ("c", "a", "c", "b")]
    assert passage_numbers(passages) == {"c": 1, "a": 2, "b": 4}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("seed", range(8))
def test_streamed_pieces_give_the_same_text_as_the_whole(text: str, seed: int) -> None:
    rng = random.Random(seed)
    cuts = sorted(rng.sample(range(len(text)), k=rng.randint(1, len(text) - 1)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    written = list(MarkWriter(3).write(pieces))
    assert "".join(written) == rewritten(text) == "".join(MarkWriter(3).write(text))


def test_text_is_delayed_only_while_it_may_become_a_mark() -> None:
    written = MarkWriter(3).write(["It fell ", "by 5 [", "1", "]", " and", " rose"])
    assert list(written) == ["It fell", " by 5", " [1]", " and", " rose"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a [[1]] b", "a [1] b"),
        ("a [[9]] b", "a b"),
        ("a [ID:2] b", "a [2] b"),
        ("a [citation:1][citation:2] b", "a [1][2] b"),
        ("a [Chunk 2, Evidence 1] b", "a [2][1] b"),
        ("a [Passage 1, Passage 2] b", "a [1][2] b"),
        ("a 【2†source】 b [1, p. 3] c [2 pp. 3-4] d", "a [2] b [1] c [2] d"),
        ("a [2 patients] b [2 pages] c", "a [2 patients] b [2 pages] c"),
        ("a [Doc. 2] b", "a [2] b"),
        ("a [doc #2] b", "a [2] b"),
        ("a [no. 2] b", "a [2] b"),
        ("a [doc_1] b [source-2] c [Doc. 1; Doc. 2]", "a [1] b [2] c [1][2]"),
        (
            "Safe \ue200cite\ue202turn0search5\ue202turn1view0\ue201. Cheap\ue200cite\ue202turn2news1\ue201.",
            "Safe. Cheap.",
        ),
        ("a [Quelle 1] b", "a [1] b"),
        ("a [文献2] b", "a [2] b"),
        ("a [3-1] b", "a [3][1] b"),
        ("a [1, 1, 2] b", "a [1][2] b"),
        ("a [1 to 3] b [2 bis 3] c [1 or 3]", "a [1][2][3] b [2][3] c [1][3]"),
        (r"a \[1\] b \[2, 3\]", "a [1] b [2][3]"),
        ("Zinc helps<sup>1</sup>. It is safe.<sup>[2,3]</sup>", "Zinc helps[1]. It is safe.[2][3]"),
        ("10<sup>2</sup> kg/m<sup>2</sup> <sup>3</sup>He", "10<sup>2</sup> kg/m<sup>2</sup> <sup>3</sup>He"),
        ("a ##1$$ ##2$$", "a [1] [2]"),
        ("a (Passage 1), b (sources 1 and 2)", "a [1], b [1][2]"),
        ("(1) age, PaO(2), cases (3).", "(1) age, PaO(2), cases (3)."),
        ("a [1234] b", "a [1234] b"),  # a year or an id
        ("a [Figure 2] b", "a [Figure 2] b"),
        ("a [2.5] b", "a [2.5] b"),
        ("a [٢] b", "a [2] b"),
        ("range [1-3], IQR [1-3], 95% CI: [1-2]", "range [1-3], IQR [1-3], 95% CI: [1-2]"),
        ("20% [10-30] of 5 [1-2]", "20% [10-30] of 5 [1][2]"),  # there is no passage 10, so [10-30] is an interval
    ],
)
def test_marks_are_rewritten_in_one_form(text: str, expected: str) -> None:
    assert rewritten(text) == expected
    assert rewritten(expected) == expected


def test_note_names_the_removed_numbers() -> None:
    marks = MarkWriter(1)
    "".join(marks.write(["a [2] b [1-9] c"]))
    assert marks.notes == ("citations of passages 2, 3, 4, 5, 6 and 3 more were removed: only 1 passage was read",)
    assert MarkWriter(1).notes == ()


def test_marks_are_removed_and_renumbered() -> None:
    assert without_marks("It fell [1]. It rose [2][3].", 3) == "It fell. It rose."
    # Without passages, a list or range after a number is an interval.
    assert without_marks("Known since 1990 [3, 4] and 95% CI [2-9].") == "Known since 1990 [3, 4] and 95% CI [2-9]."
    assert without_marks("As shown [3, 4].") == "As shown."
    assert renumbered("It fell [1]. It rose [2][3].", [7, 8, 9]) == "It fell [7]. It rose [8][9]."
    assert [mark.numbers for mark in find_marks("[1] a [2-3]", 3)] == [(1,), (2, 3)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("[1]", []),
        ("It fell. [1][2] It rose.[3]", [("It fell. [1][2]", (1, 2)), ("It rose.[3]", (3,))]),
        ("Findings:\n[1] It fell.\n[2] It rose.", [("Findings:\n[1] It fell.", (1,)), ("[2] It rose.", (2,))]),
        ("It fell.\n[1]\nIt rose.", [("It fell.\n[1]", (1,)), ("It rose.", ())]),
        ("[1] It fell. [2] It rose.", [("[1] It fell.", (1,)), ("[2] It rose.", (2,))]),
        ("- [1] It fell. [2][3] It rose.", [("- [1] It fell.", (1,)), ("[2][3] It rose.", (2, 3))]),
        ("[1] It fell. It rose. [2]", [("[1] It fell.", (1,)), ("It rose. [2]", (2,))]),
        ("It fell [1].\n\n---\n\nIt rose [2].", [("It fell [1].", (1,)), ("It rose [2].", (2,))]),
        ("It fell.\n\n**References:**\n[1] Smith J. Zinc.\n[2] Lee.", [("It fell.", ())]),
        ("It fell [1]. Source: [1]", [("It fell [1].", (1,))]),
        (
            "Eat it.\nSources:\n- Meat [1]\n- Fish [2]",
            [("Eat it.", ()), ("Sources:", ()), ("- Meat [1]", (1,)), ("- Fish [2]", (2,))],
        ),
        (
            "Eat it.\nSources:\n- Red meat\n- Tea cures colds.",
            [("Eat it.", ()), ("Sources:", ()), ("- Red meat", ()), ("- Tea cures colds.", ())],
        ),
        ("Eat it.\nSources:\n- [1] Zinc\n- Lee J, Kim S. Iron.\n3. Trial of tea, 2019", [("Eat it.", ())]),
        ("Eat it.\nReferences:\n- heparin.md\n2. Zinc for colds", [("Eat it.", ())]),
        ("References: [1] Lee. Zinc.", [("References: [1] Lee.", (1,)), ("Zinc.", ())]),
        ("Sources: both agree [1].", [("Sources: both agree [1].", (1,))]),
        ("下降[1]。上升。[2]", [("下降[1]。", (1,)), ("上升。[2]", (2,))]),
    ],
)
def test_sentences_cite_the_passages_of_their_marks(text: str, expected: list[tuple[str, tuple[int, ...]]]) -> None:
    found = cited_sentences(text, 3)
    assert [(one.text, one.citations) for one in found] == expected
    assert all(text[one.start : one.end] == one.text for one in found)


def test_streaming_takes_linear_time() -> None:
    def seconds(marks: int) -> float:
        start_time = time.process_time()
        "".join(MarkWriter(1).write("Zinc helped [1]. " * marks))
        return time.process_time() - start_time

    assert seconds(1600) < 10 * seconds(400)  # quadratic time would be 16 times as much


@pytest.mark.parametrize("space", [" ", "\n", "\n \t"])
def test_long_white_space_takes_linear_time(space: str) -> None:
    start_time = time.process_time()
    text = f"Zinc helped{space * 50_000}[{space * 50_000}x. Falls were rare{space * 50_000}[1]."
    assert [mark.numbers for mark in find_marks(text, 1)] == [(1,)]
    assert "".join(MarkWriter(1).write([text, " [2"])).endswith("[1].")  # the cut mark is removed
    assert "".join(MarkWriter(1).write([text, " \ue200cite\ue202turn0"])).endswith("[1].")
    assert time.process_time() - start_time < 2
