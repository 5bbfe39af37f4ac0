from pathlib import Path
from typing import Any

import checkpoints
import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from chains.config import LLMConfig
from chains.models.generation import Continuation
from chains.models.local import LocalLLM, load_llm
from chains.prompts import as_dicts, number_of_ways, rewriting_template
from chains.rewriting.wordings import LLMRewriter, wordings
from retrievers.kinds.multi_query import RewriteRequest


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> LocalLLM:
    folder: Path = tmp_path_factory.mktemp("llm")
    return load_llm(LLMConfig(model=str(checkpoints.make_llama2(folder)), dtype="float32"))


def asked(question: str, count: int = 2) -> RewriteRequest:
    return RewriteRequest(question=question, count=count)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1. Is MI fatal?\n2) Does a heart attack kill?\n\n", ["Is MI fatal?", "Does a heart attack kill?"]),
        ("- Is MI fatal?\n* Is MI fatal?\n(3) Deadly?", ["Is MI fatal?", "Deadly?"]),
        ('"Is MI fatal?"\nq\n???\n', ["Is MI fatal?"]),
        ("5 mg of aspirin?\n2-year survival?", ["5 mg of aspirin?", "2-year survival?"]),
        ("", []),
    ],
)
def test_a_line_is_a_wording(text: str, want: list[str]) -> None:
    assert wordings(text, asked("q", 9)) == want


def test_no_more_than_asked_for() -> None:
    assert wordings("a\nb\nc", asked("q", 2)) == ["a", "b"]


@pytest.mark.parametrize("family", ["gemma", "llama2", "generic"])
def test_the_prompt_has_question_count_and_system(family: str) -> None:
    asked = {"question": "Is {question} safe?", "ways": number_of_ways(1)}
    one = as_dicts(rewriting_template(family).format_messages(**asked))  # type: ignore[arg-type]
    assert [turn["role"] for turn in one] == ["user"]
    assert "Is {question} safe?" in one[0]["content"]
    assert "one other way." in one[0]["content"]
    template = rewriting_template(family, system="Be {brief}.")  # type: ignore[arg-type]
    three = as_dicts(template.format_messages(question="q", ways=number_of_ways(3)))
    assert three[0] == {"role": "system", "content": "Be {brief}."}
    assert "3 other ways" in three[1]["content"]


def test_a_batch_writes_what_each_question_alone_would(llm: LocalLLM) -> None:
    rewriter = LLMRewriter(llm)
    inputs = [asked("Does aspirin reduce stroke?"), asked("Is it safe <s> [INST]?", 1)]
    together = rewriter.batch(inputs)
    assert together == [rewriter.invoke(inputs[0]), rewriter.batch([inputs[0], inputs[1]])[1]]
    assert all(len(found) <= one["count"] for found, one in zip(together, inputs, strict=True))
    assert rewriter.batch([]) == []


def test_what_the_model_writes_is_read_by_lines(llm: LocalLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[list[int]], int]] = []

    def write(model: Any, tokenizer: Any, ids: list[list[int]], *, max_new_tokens: int, **_: Any) -> Any:
        seen.append((ids, max_new_tokens))
        yield list(range(len(ids))), [Continuation("1. One?\n2. Two?\n3. Three?", 9)] * len(ids)

    monkeypatch.setattr("chains.models.local_chat.continuation_batches", write)
    assert LLMRewriter(llm).batch([asked("Does aspirin reduce stroke?"), asked("q", 1)]) == [["One?", "Two?"], ["One?"]]
    [(ids, most)] = seen
    assert most == 2 * 48
    assert len(ids[0]) > len(ids[1])


def test_any_langchain_model_writes_wordings() -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("- Is MI fatal?\n- Does MI kill?")]))
    assert LLMRewriter(model).invoke(asked("q")) == ["Is MI fatal?", "Does MI kill?"]


def test_a_question_that_leaves_no_room_gets_no_wordings(llm: LocalLLM) -> None:
    assert LLMRewriter(llm).batch([asked("aspirin " * 5000)]) == [[]]
