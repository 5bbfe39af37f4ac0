"""Request and response bodies: footnotes and their removal, contents of messages, nullable fields."""

import typing
from types import NoneType

import pytest

from chains.answer import Answer, Citation, Passage
from medground.service.protocol import ChatRequest, Message, finish_reason, footnotes, history


def message(role: str, content: object) -> Message:
    return Message.model_validate({"role": role, "content": content})


def test_history_removes_footnotes_from_answers_only() -> None:
    answer = Answer(
        question="Q",
        text="Yes.",
        passages=(Passage(id="p", text="It\nfell."),),
        citations=(Citation(passage_id="p", quote="It\nfell.", start=0, end=8, score=1.0),),
        verdict="supported",
        notes=("no passage was found", "a second note"),
    )
    shown = "Yes.\n\nIt fell [1]." + footnotes(answer, "A note.")
    assert shown == (
        "Yes.\n\nIt fell [1].\n\n[1] p: “It fell.”\nVerdict: supported.\n"
        "Note: no passage was found\nNote: a second note\nNote: A note."
    )
    messages = [message("user", "Is it?\n\n[1] x"), message("assistant", shown), message("user", "And then?")]
    assert history(messages) == [("user", "Is it?\n\n[1] x"), ("assistant", "Yes.\n\nIt fell [1].")]


def test_footnote_has_title_file_and_page_of_the_passage() -> None:
    passage = Passage(id="p", text="It fell.", metadata={"title": "A\ntrial", "source": "a.pdf", "page": 3, "start": 9})
    citation = Citation(passage_id="p", quote="It fell.", start=0, end=8, score=1.0)
    answer = Answer(question="Q", text="Yes.", passages=(passage,), citations=(citation,))
    assert footnotes(answer, None) == "\n\n[1] p (A trial, a.pdf, page 3): “It fell.”"


def test_footnote_has_the_title_that_one_of_two_passages_with_its_id_has() -> None:
    passages = (Passage(id="p", text="It fell.", metadata={"title": "A trial"}), Passage(id="p", text="It fell."))
    answer = Answer(question="Q", text="Yes.", passages=passages, citations=(passages[0].quote(0, 8, 1.0),))
    assert footnotes(answer, None) == "\n\n[1] p (A trial): “It fell.”"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Is it?", "Is it?"),
        ([{"type": "text", "text": "Is it"}, {"type": "text", "text": "so?"}], "Is it\nso?"),
        (None, ""),
        ([], ""),
    ],
)
def test_message_text_joins_the_parts_of_its_content(content: object, text: str) -> None:
    assert message("user", content).text == text


def test_answer_without_quotes_and_notes_has_no_footnotes() -> None:
    assert footnotes(Answer(question="Q", text="Yes."), None) == ""
    assert footnotes(None, "A note.") == ""


def test_finish_reason_is_length_for_a_truncated_answer_that_is_shown() -> None:
    answer = Answer(question="Q", text="Yes, it", truncated=True)
    assert finish_reason(answer) == "length"
    assert finish_reason(answer.withhold("No answer is given.")) == "stop"
    assert finish_reason(Answer(question="Q", text="Yes.")) == finish_reason(None) == "stop"


@pytest.mark.parametrize("verdict", [None, "not enough evidence"])
@pytest.mark.parametrize("note", [None, "A note."])
@pytest.mark.parametrize("has_quote", [False, True])
def test_history_removes_every_combination_of_footnotes(verdict: str | None, note: str | None, has_quote: bool) -> None:
    quotes = [{"passage_id": "p", "quote": "It fell.", "start": 0, "end": 8, "score": 1.0}] if has_quote else []
    passages = [{"id": "a", "text": "It rose."}, {"id": "p", "text": "It fell."}]
    answer = Answer.model_validate(
        {"question": "Q", "text": "T", "verdict": verdict, "citations": quotes, "passages": passages}
    )
    text = "No answer is given.\n\nNote: a line of the answer that looks like a footnote.\n\nMore."
    messages = [message("assistant", text + footnotes(answer, note)), message("user", "x")]
    assert history(messages) == [("assistant", text)]


def test_null_is_accepted_for_all_optional_fields_of_openai_s_protocol() -> None:
    params = pytest.importorskip("openai.types.chat.completion_create_params")
    hints = typing.get_type_hints(params.CompletionCreateParamsBase, include_extras=False)
    hints |= typing.get_type_hints(params.CompletionCreateParamsNonStreaming)
    nullable = [name for name, hint in hints.items() if NoneType in typing.get_args(hint)]
    assert {"stop", "n", "temperature", "stream_options", "seed"} <= set(nullable)
    # Some clients send null for every unset field, also for those that the protocol does not let be null.
    nulls = dict.fromkeys({*hints} - {"messages", "model"})
    question = {"role": "user", "content": "Does it help?", "name": None, "tool_calls": None, "function_call": None}
    answer = {"role": "assistant", "content": None, "refusal": None, "audio": None, "tool_calls": None}
    request = ChatRequest.model_validate(
        {"model": "medground", "messages": [answer, question], "medground": None, **nulls}
    )
    assert (request.stream, request.conversation) == (None, None)
