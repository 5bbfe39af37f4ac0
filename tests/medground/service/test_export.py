import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from served import HTTP, Scripted, ask, make_service, running

from chains.answer import Answer, Citation, Passage
from chains.chat.turn import Summary, Turn
from medground.service.export import to_json, to_markdown

HOSTILE = (
    "<script>alert(1)</script> ![x](https://evil.example/x.png) [click](javascript:alert(1)) `code` **bold** &lt; "
    "<https://evil.example>\n# heading\n- item\n1. item\n    code\n> quote\n---\n===\n| a | b |\n|---|---|\n"
    "\x1b[31mred\x1b[0m \u202eevil\u202c [ref]: https://evil.example ~~~ $x$ <img src=x onerror=alert(1)>"
)


def turn(text: str) -> Turn:
    passage = Passage(id=text, text=text, score=0.5, metadata={"source": text, "page": 3, "title": text})
    citation = Citation(passage_id=text, quote=text, start=0, end=len(text), score=1.0)
    answer = Answer(
        question=text, text=text, passages=(passage,), citations=(citation,), verdict="supported", notes=(text,)
    )
    return Turn(message=text, question=text, text=text, answer=answer, notes=(text,))


def summary(title: str) -> Summary:
    return Summary(id="0" * 32, title=title, created="2026-11-28T10:00:00+00:00", updated="2026-11-28", turns=1)


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.add(tag)


def test_no_text_is_taken_for_markup() -> None:
    written = to_markdown(summary(HOSTILE), [turn(HOSTILE)])
    for renderer in (
        MarkdownIt("commonmark", {"html": True}),
        MarkdownIt("gfm-like", {"html": True, "linkify": False}),
    ):
        elements = Elements()
        elements.feed(renderer.render(written))
        assert elements.found <= {"h1", "h2", "p", "blockquote"}
    assert not any(character in written for character in "\x1b\u202e\x00")


def test_markdown_has_question_answer_and_quotes_with_source_and_page() -> None:
    passage = Passage(id="p1", text="It fell.", metadata={"title": "A trial", "source": "a.pdf", "page": 3})
    citation = Citation(passage_id="p1", quote="It\nfell.", start=0, end=8, score=1.0)
    answer = Answer(question="Q", text="Yes.", passages=(passage,), citations=(citation,), verdict="supported")
    one = Turn(message="Does it\nfall?", question="Q", text="Yes.", answer=answer, notes=("read as: Q",))
    assert to_markdown(summary("On falling"), [one]) == (
        "# On falling\n\n2026-11-28, medground\n\n## Does it fall?\n\nYes.\n\n"
        "> \\[1\\] “It fell.”\n>\n> p1, A trial, a.pdf, page 3\n\nVerdict: supported.\n\nNote: read as: Q\n"
    )


def test_text_survives_the_escaping() -> None:
    text = "Dose 5*10^3 [mg] <0.05 & 2_3 #1\n- a\n1. b\n1) c\n+ d\nC:\\x"
    rendered = MarkdownIt("commonmark").render(to_markdown(summary("x"), [turn(text)]))
    for piece in ("Dose 5*10^3 [mg] &lt;0.05 &amp; 2_3 #1", "- a", "1. b", "1) c", "+ d", "C:\\x"):
        assert piece in rendered


def test_json_has_everything() -> None:
    one = turn(HOSTILE)
    document = json.loads(to_json(summary(HOSTILE), [one]))
    assert document["title"] == HOSTILE
    assert [Turn.model_validate(each) for each in document["turns"]] == [one]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running(make_service(Scripted(), tmp_path)) as (address, _):
        yield address


def test_a_conversation_is_a_file_that_no_browser_shows(url: str) -> None:
    id = ask(url, "<b>Does it</b> help?", medground={"conversation": "new"}).json()["medground"]["conversation"]
    for format, suffix, kind in (
        ("markdown", "md", "text/markdown; charset=utf-8"),
        ("json", "json", "application/json"),
    ):
        response = HTTP.get(f"{url}/v1/conversations/{id}/export?format={format}")
        assert response.status_code == 200
        assert response.headers["Content-Type"] == kind
        assert response.headers["Content-Disposition"].startswith('attachment; filename="medground-20')
        assert response.headers["Content-Disposition"].endswith(f'{id[:8]}.{suffix}"')
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Aspirin reduced stroke." in response.text.replace("\\", "")
    path = f"{url}/v1/conversations/{id}/export"
    assert HTTP.get(path).headers["Content-Type"].startswith("text/markdown")
    assert HTTP.get(f"{path}?format=html").status_code == 400
    assert HTTP.get(f"{url}/v1/conversations/{'0' * 32}/export").status_code == 404


def test_conversations_are_searched_and_renamed(url: str) -> None:
    ids = [
        ask(url, text, medground={"conversation": "new"}).json()["medground"]["conversation"]
        for text in ("Does aspirin help?", "Hilft Öl?")
    ]
    search = f"{url}/v1/conversations"
    for query, found in (("ASPIRIN", ids[:1]), ("öl", ids[1:]), ("yes", ids[::-1]), ("nothing", []), ("", ids[::-1])):
        listed = HTTP.get(search, params={"query": query}).json()["data"]
        assert [one["id"] for one in listed] == found, query
    assert HTTP.get(search, params={"query": "x" * 1001}).status_code == 400
    path = f"{search}/{ids[0]}"
    renamed = HTTP.patch(path, json={"title": " On <i>pain</i> "})
    assert (renamed.status_code, renamed.json()["title"], renamed.json()["turns"]) == (200, "On <i>pain</i>", 1)
    for body in (
        {"title": " "},
        {"title": "x" * 201},
        {"title": None},
        {},
        {"title": "x", "user": "bob"},
        {"title": "\ud800"},
    ):
        content = json.dumps(body)
        headers = {"Content-Type": "application/json"}
        assert HTTP.patch(path, content=content, headers=headers).status_code == 400
    assert HTTP.patch(f"{search}/{'0' * 32}", json={"title": "x"}).status_code == 404
