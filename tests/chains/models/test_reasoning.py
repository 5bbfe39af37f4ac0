import pytest

from chains.labels import parse_label
from chains.models.reasoning import answer_pieces, answer_text, closing_of_open_reasoning, opening_of

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
def test_the_label_is_read_after_the_reasoning(block: str) -> None:
    reasoned = block.format("Is it yes? The dose was raised, and nothing changed.")
    assert parse_label(f"{reasoned}No", ("yes", "no")) == "no"
    assert answer_text(f"{reasoned}No change [1].").strip() == "No change [1]."


@pytest.mark.parametrize("block", BLOCKS)
def test_reasoning_that_is_not_closed_has_no_label(block: str) -> None:
    assert parse_label(block.partition("{}")[0] + "Yes, it seems", ("yes", "no")) is None


@pytest.mark.parametrize("closing", ["</think>", "[/THINK]", "<|END_THINKING|>", "<unused95>"])
def test_a_closing_tag_alone_ends_the_reasoning(closing: str) -> None:
    assert parse_label(f"Perhaps yes.\n{closing}\n\n**No**", ("yes", "no")) == "no"
    assert parse_label(f"yes{closing}", ("yes", "no")) is None


def test_the_last_block_decides() -> None:
    assert parse_label("<think>yes</think>yes<think>no</think>no", ("yes", "no")) == "no"
    assert parse_label("<think>a</think><answer>No</answer>", ("yes", "no")) == "no"


@pytest.mark.parametrize(
    "text", ["Yes", "p < 0.05, [1] and <b>no</b> change", "I think so: yes", "# Result\n\nyes", ""]
)
def test_other_texts_are_left_alone(text: str) -> None:
    assert answer_text(text) == text
    assert "".join(answer_pieces(text)) == text


@pytest.mark.parametrize("block", BLOCKS)
def test_a_stream_is_shown_without_its_reasoning(block: str) -> None:
    text = block.format("First, the trial.") + "It fell by 3 (p < 0.05)."
    assert "".join(answer_pieces(text)).strip() == "It fell by 3 (p < 0.05)."


def test_a_prompt_that_opens_the_reasoning() -> None:
    assert opening_of("<|Assistant|><think>\n") == "<think>"
    assert closing_of_open_reasoning("<|Assistant|><think>\n") == "\n</think>\n\n"
    assert closing_of_open_reasoning("[/INST][THINK]") == "\n\n[/THINK]\n\n"
    assert opening_of("<think>\n\n</think>\n\n") == opening_of("assistant\n") == ""
