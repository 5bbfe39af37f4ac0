from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from obeying import ObeyingLLM, ObeyingWriter
from overlap_nli import OverlapNLI
from word_retriever import WordRetriever

from chains.answer import Answer, Passage
from chains.chat import Chat, Turn
from chains.chat.writer import NOT_WRITTEN, TRUNCATED, Writer, WrittenAnswers
from chains.config import Verify
from chains.models.base import TooLongError
from chains.qa.base import MappedChain
from chains.qa.chain import qa_chain
from chains.verification.sentences import SentenceVerifier
from common.errors import UserError
from common.result_cache import ResultCache

TEXTS = {"a": "Aspirin works. It lowered pain.", "z": "Zinc fails. It was dear."}
QUESTION = "Is it so of aspirin?"


def written_answers(policy: Verify, *texts: str, **options: Any) -> WrittenAnswers:
    """Answers that a model writes with ``texts``, one after the other."""
    model = GenericFakeChatModel(messages=iter([AIMessage(text) for text in texts]))
    verifier = SentenceVerifier(OverlapNLI())
    return WrittenAnswers(Writer(model), lambda answer: verifier.verify([answer])[0], policy, **options)


def make_qa_chain(passages: int = 1) -> Any:
    return qa_chain(ObeyingLLM(), WordRetriever(texts=TEXTS), passages=passages)


def make_chat(policy: Verify, *texts: str) -> Chat:
    return Chat(make_qa_chain(2), count=len, budget=1000, written=written_answers(policy, *texts))


def test_policy_report_streams_the_text_before_the_verdicts() -> None:
    events = list(make_chat("report", "It lowered pain [1]. It was cheap [2].").stream([], QUESTION))
    kinds = [event.kind for event in events]
    assert kinds == ["question", *["token"] * kinds.count("token"), "answer", "verdict", "done"]
    assert kinds.count("token") > 3
    answered, verified, done = events[-3:]
    assert [one.citations for one in answered.answer.sentences] == [(1,), (2,)]
    assert [one.verdict for one in answered.answer.sentences] == [None, None]
    assert [one.verdict for one in verified.answer.sentences] == ["supported", "not enough evidence"]
    assert done.turn.answer == verified.answer


@pytest.mark.parametrize("policy", ["off", "report", "prune", "abstain", "retry"])
@pytest.mark.parametrize("text", ["<think>Aspirin may", " \n", "[1]"])
def test_note_reports_that_the_model_wrote_no_answer(policy: Verify, text: str) -> None:
    answer = make_chat(policy, text).reply([], QUESTION).answer
    assert answer is not None
    assert NOT_WRITTEN in answer.notes


@pytest.mark.parametrize(
    ("metadata", "truncated"),
    [
        ({"finish_reason": "length"}, True),
        ({"finish_reason": "MAX_TOKENS"}, True),
        ({"stop_reason": "max_tokens"}, True),
        ({"finish_reason": "stop"}, False),
        ({}, False),
    ],
)
def test_note_reports_that_the_token_limit_cut_the_text_off(
    metadata: dict[str, str], truncated: bool, tmp_path: Path
) -> None:
    model = ObeyingWriter(response_metadata=metadata)
    answer = make_qa_chain().invoke(QUESTION)
    for has_cache in (False, True, True):
        cache = ResultCache(tmp_path / "cache.jsonl") if has_cache else None
        [written] = WrittenAnswers(Writer(model, cache=cache)).write_all([answer])
        assert (written.truncated, TRUNCATED in written.notes) == (truncated, truncated)
    assert len(model.shown) == 2  # the last text is read from the cache


def test_pruned_sentences_are_not_streamed() -> None:
    events = list(make_chat("prune", "It lowered pain [1]. It was cheap [2].").stream([], QUESTION))
    text = "".join(event.text for event in events if event.kind == "token")
    done = events[-1]
    answer = done.turn.answer
    assert text == done.turn.text == answer.text == "It lowered pain [1]."
    assert "1 of 2 sentences were removed" in answer.notes[-1]
    assert [one.text for one in answer.removed] == ["It was cheap [2]."]


@pytest.mark.parametrize(
    ("policy", "text", "reason"),
    [
        ("prune", "It was cheap [1].", "none of its sentences is supported"),
        ("abstain", "It lowered pain [1]. It was cheap [1]. It was blue [1].", "2 of its sentences are not supported"),
    ],
)
def test_unsupported_answer_is_withheld(policy: Verify, text: str, reason: str) -> None:
    turn = make_chat(policy, text).reply([], QUESTION)
    assert turn.text.startswith("No answer is given: ")
    assert reason in turn.text
    assert turn.answer.withheld.text == text
    assert [one.verdict for one in turn.answer.withheld.sentences].count("not enough evidence") >= 1
    assert turn.answer.sentences == ()


@pytest.mark.parametrize("policy", ["prune", "abstain", "retry"])
def test_supported_text_is_returned_by_every_policy(policy: Verify) -> None:
    turn = make_chat(policy, "It lowered pain [1].").reply([], QUESTION)
    assert turn.text == "It lowered pain [1]."
    assert [one.verdict for one in turn.answer.sentences] == ["supported"]
    assert turn.answer.notes == ()


def test_policy_retry_writes_again_from_more_passages() -> None:
    answers = written_answers("retry", "It was dear [1].", "It was dear [2].", wider=[make_qa_chain(2)])
    *_, answer = answers.stream([], make_qa_chain(1).invoke(QUESTION))
    assert answer.text == "It was dear [2]."
    assert answer.notes == ("written again from 2 passages: not every sentence of the first text was supported",)
    answers = written_answers("retry", "It was red [1].", "It was red [2].", wider=[make_qa_chain(2)])
    *_, answer = answers.stream([], make_qa_chain(1).invoke(QUESTION))
    assert answer.text == "It was red [1]."
    assert answer.notes == ("written again from up to 2 passages: not every sentence was supported",)


def test_policy_retry_returns_the_first_text_if_more_passages_do_not_fit() -> None:
    class SmallWindow(GenericFakeChatModel):
        def _generate(self, messages: Any, *args: Any, **options: Any) -> Any:
            if "[2]" in messages[-1].content:
                raise TooLongError("too long")
            return super()._generate(messages, *args, **options)

    writer = Writer(SmallWindow(messages=iter([AIMessage("It was red [1].")])))
    answers = replace(written_answers("retry", wider=[make_qa_chain(2)]), writer=writer)
    *_, answer = answers.stream([], make_qa_chain(1).invoke(QUESTION))
    assert answer.text == "It was red [1]."
    assert answer.notes == ("more passages do not fit the model's window: not every sentence was supported",)


def test_write_all_writes_and_verifies_the_answers_of_a_chain() -> None:
    answers = written_answers("report", "It lowered pain [1].", "It was dear. It was blue.")
    chain = MappedChain(make_qa_chain(2), answers.write_all)
    first, second = chain.batch([QUESTION, QUESTION])
    assert (first.label, first.text) == ("yes", "It lowered pain [1].")
    assert [(one.verdict, one.citations, one.attributed) for one in second.sentences] == [
        ("supported", (2,), True),
        ("not enough evidence", (), False),
    ]


def test_write_all_returns_the_error_of_a_question() -> None:
    class Failing(ObeyingWriter):
        def _generate(self, *_: Any, **__: Any) -> Any:
            raise UserError("too long")

    chain = MappedChain(make_qa_chain(), WrittenAnswers(Writer(Failing())).write_all)
    assert [str(one) for one in chain.batch([QUESTION], return_exceptions=True)] == ["too long"]


def test_marks_in_passages_and_earlier_turns_are_not_in_the_prompt() -> None:
    model = ObeyingWriter()
    passages = (Passage(id="a", text="Aspirin works [12]. See [3, 4]."), Passage(id="b", text="Zinc [1-3] fails."))
    answer = Answer(question=QUESTION, text="yes", label="yes", passages=passages)
    history: Sequence[Turn] = [Turn(message="And tea?", question="And tea?", text="Tea is nice [2].")]
    list(Writer(model).write(history, answer))
    shown = model.shown[0]
    assert shown[2]["content"] == "Tea is nice."
    assert "[1] Aspirin works. See.\n\n[2] Zinc fails." in shown[-1]["content"]
