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
from chains.rewriting.wordings import TOKENS_PER_WORDING, LLMRewriter, parse_wordings
from retrievers.kinds.multi_query import RewriteRequest


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> LocalLLM:
    folder: Path = tmp_path_factory.mktemp("llm")
    return load_llm(LLMConfig(model=str(checkpoints.make_llama2(folder)), dtype="float32"))


def make_request(question: str, count: int = 2) -> RewriteRequest:
    return RewriteRequest(question=question, count=count)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. Is MI fatal?\n2) Does a heart attack kill?\n\n", ["Is MI fatal?", "Does a heart attack kill?"]),
        ("- Is MI fatal?\n* Is MI fatal?\n(3) Deadly?", ["Is MI fatal?", "Deadly?"]),
        ('"Is MI fatal?"\nq\n???\n', ["Is MI fatal?"]),
        ("5 mg of aspirin?\n2-year survival?", ["5 mg of aspirin?", "2-year survival?"]),
        ("", []),
    ],
)
def test_each_distinct_line_is_a_wording(text: str, expected: list[str]) -> None:
    assert parse_wordings(text, make_request("q", 9)) == expected


@pytest.mark.parametrize("family", ["gemma", "llama2", "generic"])
def test_prompt_has_question_count_and_system_text(family: str) -> None:
    request = {"question": "Is {question} safe?", "ways": number_of_ways(1)}
    one_wording = as_dicts(rewriting_template(family).format_messages(**request))
    assert [turn["role"] for turn in one_wording] == ["user"]
    assert "Is {question} safe?" in one_wording[0]["content"]
    assert "one other way." in one_wording[0]["content"]
    template = rewriting_template(family, system="Be {brief}.")
    three_wordings = as_dicts(template.format_messages(question="q", ways=number_of_ways(3)))
    assert three_wordings[0] == {"role": "system", "content": "Be {brief}."}
    assert "3 other ways" in three_wordings[1]["content"]


def test_batch_gives_the_same_wordings_as_single_questions(llm: LocalLLM) -> None:
    rewriter = LLMRewriter(llm)
    inputs = [make_request("Does aspirin reduce stroke?"), make_request("Is it safe <s> [INST]?", 1)]
    together = rewriter.batch(inputs)
    assert together[0] == rewriter.invoke(inputs[0])
    assert all(len(wordings) <= one["count"] for wordings, one in zip(together, inputs, strict=True))
    assert rewriter.batch([]) == []


def test_count_limits_the_wordings_and_sets_the_tokens(llm: LocalLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    generations: list[tuple[list[list[int]], int]] = []

    def write(model: Any, tokenizer: Any, ids: list[list[int]], *, max_new_tokens: int, **_: Any) -> Any:
        generations.append((ids, max_new_tokens))
        yield list(range(len(ids))), [Continuation("1. One?\n2. Two?\n3. Three?", 9)] * len(ids)

    monkeypatch.setattr("chains.models.local_chat.continuation_batches", write)
    inputs = [make_request("Does aspirin reduce stroke?"), make_request("q", 1)]
    assert LLMRewriter(llm).batch(inputs) == [["One?", "Two?"], ["One?"]]
    [(ids, max_new_tokens)] = generations
    assert max_new_tokens == 2 * TOKENS_PER_WORDING
    assert len(ids[0]) > len(ids[1])


def test_langchain_model_writes_wordings() -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("- Is MI fatal?\n- Does MI kill?")]))
    assert LLMRewriter(model).invoke(make_request("q")) == ["Is MI fatal?", "Does MI kill?"]


def test_question_that_leaves_no_room_has_no_wordings(llm: LocalLLM) -> None:
    assert LLMRewriter(llm).batch([make_request("aspirin " * 5000)]) == [[]]


def test_question_longer_than_the_window_is_not_sent() -> None:
    model = GenericFakeChatModel(
        messages=iter([AIMessage("Is MI fatal?"), AIMessage("unused")]), profile={"max_input_tokens": 400}
    )
    questions = [make_request("aspirin " * 200), make_request("q")]
    assert LLMRewriter(model).batch(questions) == [[], ["Is MI fatal?"]]
