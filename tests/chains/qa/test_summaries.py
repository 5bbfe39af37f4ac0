"""Evidence summaries by a scripted model."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from obeying import ObeyingLLM
from pydantic import Field
from word_retriever import WordRetriever

from chains.answer import Answer
from chains.chat.writer import Writer
from chains.models.base import TooLongError
from chains.prompts import Messages, as_dicts
from chains.qa.chain import qa_chain
from common.errors import UserError

QUESTION = "Does zinc help with colds?"
TEXTS = {
    "a": "Zinc and colds were studied in 40 adults. It works in adults [3].",
    "b": "Zinc is a metal. Colds are mild.",
    "c": "Zinc for colds in children. It fails there.",
}
SUMMARIES = {
    "a": "Zinc works in 40 adults.\nRelevance: 7",
    "b": "Nothing on it.\nRelevance: 0 (the text does not bear on the question)",
    "c": "It fails in children.\n**Relevance:** 9/10",
}


class ScriptedSummarizer(BaseChatModel):
    """Writes or raises ``outputs[id]`` for the passage in the prompt, ``outputs["a"]`` if it has none.

    ``shown`` are the messages of all calls.
    """

    outputs: dict[str, Any]
    shown: list[Messages] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self.shown.append(as_dicts(messages))
        prompt = self.shown[-1][-1]["content"]
        output = next((self.outputs[id] for id, text in TEXTS.items() if text[:12] in prompt), self.outputs["a"])
        if isinstance(output, Exception):
            raise output
        return ChatResult(generations=[ChatGeneration(message=AIMessage(output))])


class SummarizingLLM(ObeyingLLM):
    """Scores labels like ``ObeyingLLM`` and writes with ``model``; ``label_prompts`` records the prompts of labels."""

    def __init__(self, model: BaseChatModel) -> None:
        self.model = model
        self.label_prompts: list[str] = []

    @property
    def clean(self) -> Callable[[str], str]:
        return lambda text: text.replace("<end>", "     ")

    def prompts(self, conversations: Sequence[Messages]) -> Any:
        self.label_prompts += [messages[-1]["content"] for messages in conversations]
        return super().prompts(conversations)

    def writer(self, max_tokens: int) -> Any:
        return self.model


def ask(outputs: dict[str, Any] = SUMMARIES, texts: dict[str, str] = TEXTS) -> tuple[Answer, SummarizingLLM]:
    llm = SummarizingLLM(ScriptedSummarizer(outputs=outputs))
    chain = qa_chain(llm, WordRetriever(texts=texts), passages=3, evidence="summaries")
    return chain.invoke(QUESTION), llm


def test_model_reads_the_summaries_in_order_of_relevance() -> None:
    answer, llm = ask()
    assert [(one.id, one.relevance, one.summary) for one in answer.passages] == [
        ("c", 9, "It fails in children."),
        ("a", 7, "Zinc works in 40 adults."),
    ]
    assert "It fails in children.\n\nZinc works in 40 adults." in llm.label_prompts[-1]
    assert "studied" not in llm.label_prompts[-1]
    assert answer.notes == ("the model read 2 of 2 passages as summaries that it wrote itself",)


def test_citations_quote_the_passages_not_the_summaries() -> None:
    answer, _ = ask()
    texts = {one.id: one.text for one in answer.passages}
    assert texts == {id: TEXTS[id] for id in ("c", "a")}
    assert {one.passage_id for one in answer.citations} == {"a", "c"}
    assert all(texts[one.passage_id][one.start : one.end] == one.quote for one in answer.citations)


def test_prompt_of_the_writer_has_numbered_summaries_without_marks() -> None:
    answer, _ = ask({**SUMMARIES, "a": "Zinc works [12] in adults. Relevance: 7"})
    model = ScriptedSummarizer(outputs=dict.fromkeys(TEXTS, "It fails [1]."))
    assert list(Writer(model).write([], answer)) == ["It fails [1]."]
    prompt = model.shown[0][-1]["content"]
    numbered = re.findall(r"(?m)^\[(\d)\] (.*)$", prompt)
    assert numbered == [("1", "It fails in children."), ("2", "Zinc works in adults.")]


def test_passage_in_the_prompt_is_cleaned_and_fenced() -> None:
    _, llm = ask(texts={**TEXTS, "a": TEXTS["a"] + " [<end>4]<end>"})
    messages = next(one for one in llm.model.shown if "40 adults" in one[-1]["content"])
    assert re.search(r"DATA (\w+) begins\n\[1\] Zinc and colds .*adults\. +\nDATA \1 ends", messages[-1]["content"])
    assert messages[0]["role"] == "system"
    assert "zinc" not in messages[0]["content"].lower()


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("It works.", ("It works.", None)),
        ("It works. relevance - 10", ("It works.", 10)),
        ("It works.\nRelevance: 8 out of 10.", ("It works.", 8)),
        ("It works.\nRelevance: 85", ("It works.", 10)),
        ("It works.\nRelevance: 7.5/10", ("It works.", 7)),
        ("It works.\nRelevance: 0.8", ("It works.", 1)),
        ("It works.\n**Relevance score:** **8**/10 - it answers the question.", ("It works.", 8)),
        ("It works in 3. Relevance 2 is not meant.", ("It works in 3. Relevance 2 is not meant.", None)),
        ("<think>Relevance: 2</think>It works.\nRelevance: 3", ("It works.", 3)),
        ("Of relevance 2 things.", ("Of relevance 2 things.", None)),
        ("Relevance: 4", (None, 4)),
        ("", (None, None)),
        (TooLongError("too long"), (None, None)),
    ],
)
def test_summary_and_relevance_are_parsed(output: Any, expected: tuple[str | None, int | None]) -> None:
    answer, _ = ask({"a": output}, {"a": TEXTS["a"]})
    assert [(one.summary, one.relevance) for one in answer.passages] == [expected]
    assert [one.text for one in answer.passages] == [TEXTS["a"]]


def test_passages_without_a_relevance_come_last() -> None:
    answer, _ = ask({**SUMMARIES, "c": "It fails in children.", "b": "Zinc is a metal. Relevance: 1"})
    assert [(one.id, one.relevance) for one in answer.passages] == [("a", 7), ("b", 1), ("c", None)]


def test_passages_are_unchanged_if_all_have_relevance_0() -> None:
    answer, llm = ask(dict.fromkeys(TEXTS, "Nothing. Relevance: 0"))
    assert {one.id for one in answer.passages} == set(TEXTS)
    assert all(one.summary is None for one in answer.passages)
    assert "studied" in llm.label_prompts[-1]
    assert answer.notes == ()


def test_error_of_the_model_is_raised() -> None:
    with pytest.raises(UserError, match="server is gone"):
        ask({**SUMMARIES, "b": UserError("The server is gone.")})
