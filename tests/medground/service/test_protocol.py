import typing
from types import NoneType

import pytest

from chains.answer import Answer, Citation, Passage
from medground.service.protocol import ChatRequest, Message, footnotes, history


def message(role: str, content: object) -> Message:
    return Message.model_validate({"role": role, "content": content})


def test_the_history_is_without_the_footnotes_that_were_added() -> None:
    answer = Answer(
        question="Q",
        text="Yes.",
        passages=(Passage(id="p", text="It\nfell."),),
        citations=(Citation(passage_id="p", quote="It\nfell.", start=0, end=8, score=1.0),),
        verdict="supported",
    )
    told = "Yes.\n\nIt fell [1]." + footnotes(answer, "A note.")
    assert told == "Yes.\n\nIt fell [1].\n\n[1] p: “It fell.”\nVerdict: supported.\nNote: A note."
    messages = [message("user", "Is it?\n\n[1] x"), message("assistant", told), message("user", "And then?")]
    assert history(messages) == [("user", "Is it?\n\n[1] x"), ("assistant", "Yes.\n\nIt fell [1].")]


def test_a_footnote_tells_where_the_passage_stands() -> None:
    passage = Passage(id="p", text="It fell.", metadata={"title": "A\ntrial", "source": "a.pdf", "page": 3, "start": 9})
    citation = Citation(passage_id="p", quote="It fell.", start=0, end=8, score=1.0)
    answer = Answer(question="Q", text="Yes.", passages=(passage,), citations=(citation,))
    assert footnotes(answer, None) == "\n\n[1] p (A trial, a.pdf, page 3): “It fell.”"


def test_content_is_a_text_or_parts_of_it() -> None:
    parts = [{"type": "text", "text": "Is it"}, {"type": "text", "text": "so?"}]
    assert [message("user", content).text for content in ("Is it?", parts, None, [])] == [
        "Is it?",
        "Is it\nso?",
        "",
        "",
    ]


def test_footnotes_hold_the_answers_notes() -> None:
    answer = Answer(question="Q", text="", notes=("no passage was found", "a second note"))
    added = footnotes(answer, "A note.")
    assert added == "\n\nNote: no passage was found\nNote: a second note\nNote: A note."
    messages = [message("user", "Is it?"), message("assistant", "Yes." + added), message("user", "And then?")]
    assert history(messages) == [("user", "Is it?"), ("assistant", "Yes.")]


def test_an_answer_without_quotes_has_no_footnotes() -> None:
    assert footnotes(Answer(question="Q", text="Yes."), None) == ""
    assert footnotes(None, "A note.") == ""


@pytest.mark.parametrize("verdict", [None, "not enough evidence"])
@pytest.mark.parametrize("note", [None, "A note."])
@pytest.mark.parametrize("quoted", [False, True])
def test_whatever_was_added_is_taken_off_again(verdict: str | None, note: str | None, quoted: bool) -> None:
    quotes = [{"passage_id": "p", "quote": "It fell.", "start": 0, "end": 8, "score": 1.0}] if quoted else []
    passages = [{"id": "a", "text": "It rose."}, {"id": "p", "text": "It fell."}]
    given = {"question": "Q", "text": "T", "verdict": verdict, "citations": quotes, "passages": passages}
    answer = Answer.model_validate(given)
    text = "No answer is given.\n\nNote: that is what it wrote.\n\nMore."
    assert history([message("assistant", text + footnotes(answer, note)), message("user", "x")]) == [
        ("assistant", text)
    ]


def test_every_field_that_openai_s_protocol_lets_be_null_may_be_null() -> None:
    params = pytest.importorskip("openai.types.chat.completion_create_params")
    hints = typing.get_type_hints(params.CompletionCreateParamsBase, include_extras=False)
    hints |= typing.get_type_hints(params.CompletionCreateParamsNonStreaming)
    nullable = [name for name, hint in hints.items() if NoneType in typing.get_args(hint)]
    assert {"stop", "n", "temperature", "stream_options", "seed"} <= set(nullable)
    # Clients that write unset fields as null do so with the others, too.
    names = {*nullable, *hints} - {"messages", "model"}
    message = {"role": "user", "content": "Does it help?", "name": None, "tool_calls": None, "function_call": None}
    said = {"role": "assistant", "content": None, "refusal": None, "audio": None, "tool_calls": None}
    request = {"model": "medground", "messages": [said, message], "medground": None, **dict.fromkeys(names)}
    read = ChatRequest.model_validate(request)
    assert (read.stream, read.conversation) == (None, None)
