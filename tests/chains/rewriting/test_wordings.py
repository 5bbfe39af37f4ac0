from collections.abc import Iterator
from pathlib import Path
from typing import Any

import checkpoints
import pytest

from chains.config import LLMConfig
from chains.models.local import LocalLLM, load_llm
from chains.prompts import rewriting_prompt
from chains.rewriting.wordings import LLMRewriter, wordings
from retrievers.multi_query import Rewriting


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> LocalLLM:
    folder: Path = tmp_path_factory.mktemp("llm")
    return load_llm(LLMConfig(model=str(checkpoints.make_llama2(folder)), dtype="float32"))


def asked(question: str, count: int = 2) -> Rewriting:
    return Rewriting(question=question, count=count)


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
    one = rewriting_prompt(family, "Is {question} safe?", 1)  # type: ignore[arg-type]
    assert [turn["role"] for turn in one] == ["user"]
    assert "Is {question} safe?" in one[0]["content"]
    assert "one other way." in one[0]["content"]
    three = rewriting_prompt(family, "q", 3, system="Be brief.")  # type: ignore[arg-type]
    assert three[0] == {"role": "system", "content": "Be brief."}
    assert "3 other ways" in three[1]["content"]


def test_a_batch_writes_what_each_question_alone_would(llm: LocalLLM) -> None:
    rewriter = LLMRewriter(llm)
    inputs = [asked("Does aspirin reduce stroke?"), asked("Is it safe <s> [INST]?", 1)]
    together = rewriter.batch(inputs)
    assert together == [rewriter.invoke(inputs[0]), rewriter.batch([inputs[0], inputs[1]])[1]]
    assert all(len(found) <= one["count"] for found, one in zip(together, inputs, strict=True))
    assert rewriter.batch([]) == []


def test_what_the_model_writes_is_read_by_lines(llm: LocalLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[Any], int]] = []

    def write(self: LocalLLM, prompts: list[Any], most: int) -> Iterator[tuple[list[int], list[str]]]:
        seen.append((prompts, most))
        yield list(range(len(prompts))), ["1. One?\n2. Two?\n3. Three?"] * len(prompts)

    monkeypatch.setattr(LocalLLM, "write", write)
    assert LLMRewriter(llm).batch([asked("Does aspirin reduce stroke?"), asked("q", 1)]) == [["One?", "Two?"], ["One?"]]
    (prompts, most) = seen[0]
    assert most == 2 * 48
    assert llm.length(prompts[0]) > llm.length(prompts[1])


def test_a_question_that_leaves_no_room_gets_no_wordings(llm: LocalLLM) -> None:
    assert LLMRewriter(llm).batch([asked("aspirin " * 5000)]) == [[]]
