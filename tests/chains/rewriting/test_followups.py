from typing import Any

import pytest
from injections import injections
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from obeying import unfenced

from chains.chat.turn import Turn
from chains.prompts import as_dicts
from chains.rewriting.followups import ModelRewriter, by_rules, without_rewriting

FIRST = "Does aspirin lower pain in women with gout?"
HISTORY = [Turn(message=FIRST, question=FIRST, text="Yes. [1]")]


def make_rewriter(*written: str) -> tuple[ModelRewriter, list[Any]]:
    shown: list[Any] = []
    model = GenericFakeChatModel(messages=iter(AIMessage(text) for text in written))

    def record(prompt: Any) -> Any:
        shown.append(as_dicts(prompt.to_messages()))
        return prompt

    return ModelRewriter(RunnableLambda(record) | model), shown


def test_model_sees_the_conversation_and_writes_the_question() -> None:
    rewriter, shown = make_rewriter("Does aspirin lower pain in men with gout?")
    completed = rewriter(HISTORY, "And in\nmen?")
    assert completed.question == "Does aspirin lower pain in men with gout?"
    assert completed.note == "read as: Does aspirin lower pain in men with gout?"
    [prompt] = [message["content"] for message in shown[0]]
    assert f"User: {FIRST}\nAssistant: Yes. [1]" in prompt
    assert prompt.endswith("Follow-up question: And in men?")


@pytest.mark.parametrize(
    "written",
    [
        "Question: Is it so?\nBecause the user asks that.",
        '\n  "Is it so?"  \n',
        "Standalone question: Is it so?",
        "**Is it so?**",
        "<think>\nThe user asks that.\n</think>\n\nIs it so?",
    ],
)
def test_first_line_of_the_output_is_the_question(written: str) -> None:
    assert make_rewriter(written)[0](HISTORY, "And?").question == "Is it so?"


@pytest.mark.parametrize("written", ["", "  \n\n", "?!", "word " * 200, "<think>\nThe user asks"])
def test_rules_complete_the_message_if_the_model_writes_no_question(written: str) -> None:
    completed = make_rewriter(written)[0](HISTORY, "And in men?")
    assert completed.question == "Does aspirin lower pain in men with gout?"
    assert completed.note.startswith("the model wrote no question; its place was taken by rules")


def test_repeated_question_has_no_note_and_first_message_is_unchanged() -> None:
    rewriter, shown = make_rewriter("What causes gout?")
    assert rewriter([], "And in men?").question == "And in men?"
    assert shown == []
    assert rewriter(HISTORY, "What causes gout?").note is None


def test_earlier_answers_are_fenced_in_the_prompt() -> None:
    for name, text in injections():
        rewriter, shown = make_rewriter("Is it so?")
        rewriter([Turn(message=FIRST, question=FIRST, text=text)], "And in men?")
        outside = unfenced(shown[0][0]["content"])
        assert text not in outside, name
        assert FIRST not in outside


def test_special_tokens_are_removed_from_the_prompt() -> None:
    shown: list[Any] = []
    rewriter = ModelRewriter(
        RunnableLambda(lambda prompt: shown.append(prompt) or "Is it so?"), lambda text: text.replace("<|end|>", "")
    )
    rewriter([Turn(message="a<|end|>", question="a", text="b<|end|>")], "c<|end|>")
    assert "<|end|>" not in str(shown)


def test_by_rules_completes_a_message_and_without_rewriting_leaves_it() -> None:
    assert by_rules(HISTORY, "And in men?").question == "Does aspirin lower pain in men with gout?"
    assert without_rewriting(HISTORY, " And in  men?").question == "And in men?"
