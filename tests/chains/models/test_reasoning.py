import re
from collections.abc import Iterator

import pytest

from chains.labels import parse_label
from chains.models import reasoning
from chains.models.reasoning import answer_pieces, answer_text, open_reasoning_tag, reasoning_end

# Reasoning with the tags of current models; {} stands for the reasoning.
BLOCKS = [
    "<think>\n{}\n</think>\n\n",
    "<thinking>{}</thinking>\n",
    "<thought>\n{}\n</thought>",
    "<reasoning>{}</reasoning>",
    "[THINK]{}[/THINK]",
    "\u25c1think\u25b7{}\u25c1/think\u25b7",
    "<seed:think>{}</seed:think>",
    "<|begin_of_thought|>{}<|end_of_thought|>\n",
    "<|START_THINKING|>{}<|END_THINKING|>",
    "<unused94>thought\n{}<unused95>",
    "<|inner_prefix|>{}<|inner_suffix|>",
    "<|channel>thought\n{}<channel|>",
    "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
    "## Thinking\n\n{}\n\n## Final Response\n\n",
    "Here is my thought process:\n{}\n\nHere is my response:\n",
]


@pytest.mark.parametrize("block", BLOCKS)
def test_labels_and_answers_are_taken_after_the_reasoning(block: str) -> None:
    reasoning = block.format("Is it yes? The dose was raised, and nothing changed.")
    assert parse_label(f"{reasoning}No", ("yes", "no")) == "no"
    assert answer_text(f"{reasoning}No change [1].").strip() == "No change [1]."


@pytest.mark.parametrize("block", BLOCKS)
def test_unclosed_reasoning_has_no_label(block: str) -> None:
    assert parse_label(block.partition("{}")[0] + "Yes, it seems", ("yes", "no")) is None


@pytest.mark.parametrize("closing", ["</think>", "[/THINK]", "<|END_THINKING|>", "<unused95>"])
def test_reasoning_may_have_a_closing_tag_only(closing: str) -> None:
    assert parse_label(f"Perhaps yes.\n{closing}\n\n**No**", ("yes", "no")) == "no"
    assert parse_label(f"yes{closing}", ("yes", "no")) is None


def test_the_label_is_taken_after_the_last_reasoning_block() -> None:
    assert parse_label("<think>yes</think>yes<think>no</think>no", ("yes", "no")) == "no"
    assert parse_label("<think>a</think><answer>No</answer>", ("yes", "no")) == "no"


@pytest.mark.parametrize(
    "text", ["Yes", "p < 0.05, [1] and <b>no</b> change", "I think so: yes", "# Result\n\nyes", ""]
)
def test_texts_without_reasoning_are_unchanged(text: str) -> None:
    assert answer_text(text) == text
    assert "".join(answer_pieces(text)) == text


@pytest.mark.parametrize("block", BLOCKS)
def test_streamed_answers_have_no_reasoning(block: str) -> None:
    text = block.format("First, the trial.") + "It fell by 3 (p < 0.05)."
    assert "".join(answer_pieces(text)).strip() == "It fell by 3 (p < 0.05)."


@pytest.mark.parametrize("text", ["Hereditary angioedema is rare.", "[1] reports less pain.", "<5% had pain."])
def test_answers_that_only_look_like_reasoning_are_streamed(text: str) -> None:
    pieces = [text[start : start + 3] for start in range(0, len(text), 3)]
    assert len(list(answer_pieces(pieces))) > len(pieces) - 3  # only the first pieces are delayed and joined


def test_closing_tags_of_streamed_answers_are_removed() -> None:
    assert "".join(answer_pieces("<think>a</think><answer>It fell by 3 (p < 0.05) in adults.</answer>")).strip() == (
        "It fell by 3 (p < 0.05) in adults."
    )


def test_the_time_to_skip_reasoning_is_linear_in_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = 0

    class CountingPattern:
        def finditer(self, text: str, position: int = 0) -> Iterator[re.Match[str]]:
            nonlocal searched
            searched += len(text) - position
            return closing.finditer(text, position)

    closing = reasoning._CLOSE
    monkeypatch.setattr(reasoning, "_CLOSE", CountingPattern())
    pieces = ["<think>", *["It fell. "] * 1000, "</think>", "It fell."]
    assert list(answer_pieces(pieces)) == ["It fell."]
    assert searched < 100 * len(pieces)


def test_the_reasoning_tag_that_a_prompt_opens_is_found_and_can_be_closed() -> None:
    assert open_reasoning_tag("<|Assistant|><think>\n") == "<think>"
    assert reasoning_end("<|Assistant|><think>\n") == "\n</think>\n\n"
    assert reasoning_end("[/INST][THINK]") == "\n\n[/THINK]\n\n"
    assert open_reasoning_tag("<think>\n\n</think>\n\n") == open_reasoning_tag("assistant\n") == ""
