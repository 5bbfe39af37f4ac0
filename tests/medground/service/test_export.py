"""Export of conversations as Markdown and JSON, and their search and renaming over HTTP."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from served import HTTP, ScriptedChain, ask, make_service, running

from chains.answer import Answer, Citation, Passage
from chains.chat.turn import Summary, Turn
from medground.service.export import to_json, to_markdown

MARKUP = (  # HTML, Markdown, terminal escapes and direction marks
    "<script>alert(1)</script> ![x](https://evil.example/x.png) [click](javascript:alert(1)) `code` **bold** &lt; "
    "<https://evil.example>\n# heading\n- item\n1. item\n    code\n> quote\n---\n===\n| a | b |\n|---|---|\n"
    "\x1b[31mred\x1b[0m \u202eevil\u202c [ref]: https://evil.example ~~~ $x$ <img src=x onerror=alert(1)>"
)


def turn_of(text: str) -> Turn:
    passage = Passage(id=text, text=text, score=0.5, metadata={"source": text, "page": 3, "title": text})
    citation = Citation(passage_id=text, quote=text, start=0, end=len(text), score=1.0)
    answer = Answer(
        question=text, text=text, passages=(passage,), citations=(citation,), verdict="supported", notes=(text,)
    )
    return Turn(message=text, question=text, text=text, answer=answer, notes=(text,))


def summary(title: str) -> Summary:
    return Summary(id="0" * 32, title=title, created="2026-11-28T10:00:00+00:00", updated="2026-11-28", turns=1)


class TagCollector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


def test_markup_in_texts_is_escaped() -> None:
    markdown = to_markdown(summary(MARKUP), [turn_of(MARKUP)])
    for renderer in (
        MarkdownIt("commonmark", {"html": True}),
        MarkdownIt("gfm-like", {"html": True, "linkify": False}),
    ):
        collector = TagCollector()
        collector.feed(renderer.render(markdown))
        assert collector.tags <= {"h1", "h2", "p", "blockquote"}
    assert not any(character in markdown for character in "\x1b\u202e\x00")


def test_markdown_has_question_answer_and_quotes_with_source_and_page() -> None:
    passage = Passage(id="p1", text="It fell.", metadata={"title": "A trial", "source": "a.pdf", "page": 3})
    citation = Citation(passage_id="p1", quote="It\nfell.", start=0, end=8, score=1.0)
    answer = Answer(question="Q", text="Yes.", passages=(passage,), citations=(citation,), verdict="supported")
    turn = Turn(message="Does it\nfall?", question="Q", text="Yes.", answer=answer, notes=("read as: Q",))
    assert to_markdown(summary("On falling"), [turn]) == (
        "# On falling\n\n2026-11-28, medground\n\n## Does it fall?\n\nYes.\n\n"
        "> \\[1\\] “It fell.”\n>\n> p1, A trial, a.pdf, page 3\n\nVerdict: supported.\n\nNote: read as: Q\n"
    )


def test_rendered_markdown_shows_the_text_unchanged() -> None:
    text = "Dose 5*10^3 [mg] <0.05 & 2_3 #1\n- a\n1. b\n1) c\n+ d\nC:\\x"
    html = MarkdownIt("commonmark").render(to_markdown(summary("x"), [turn_of(text)]))
    for line in ("Dose 5*10^3 [mg] &lt;0.05 &amp; 2_3 #1", "- a", "1. b", "1) c", "+ d", "C:\\x"):
        assert line in html


def test_json_has_title_and_complete_turns() -> None:
    turn = turn_of(MARKUP)
    document = json.loads(to_json(summary(MARKUP), [turn]))
    assert document["title"] == MARKUP
    assert [Turn.model_validate(dumped) for dumped in document["turns"]] == [turn]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running(make_service(ScriptedChain(), tmp_path)) as (address, _):
        yield address


def test_export_route_sends_an_attachment(url: str) -> None:
    id = ask(url, "<b>Does it</b> help?", medground={"conversation": "new"}).json()["medground"]["conversation"]
    for format, suffix, media_type in (
        ("markdown", "md", "text/markdown; charset=utf-8"),
        ("json", "json", "application/json"),
    ):
        response = HTTP.get(f"{url}/v1/conversations/{id}/export?format={format}")
        assert response.status_code == 200
        assert response.headers["Content-Type"] == media_type
        assert response.headers["Content-Disposition"].startswith('attachment; filename="medground-20')
        assert response.headers["Content-Disposition"].endswith(f'{id[:8]}.{suffix}"')
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Aspirin reduced stroke." in response.text.replace("\\", "")
    path = f"{url}/v1/conversations/{id}/export"
    assert HTTP.get(path).headers["Content-Type"].startswith("text/markdown")
    assert HTTP.get(f"{path}?format=html").status_code == 400
    assert HTTP.get(f"{url}/v1/conversations/{'0' * 32}/export").status_code == 404


def test_conversations_can_be_searched(url: str) -> None:
    ids = [
        ask(url, text, medground={"conversation": "new"}).json()["medground"]["conversation"]
        for text in ("Does aspirin help?", "Hilft Öl?")
    ]
    latest_first = ids[::-1]
    for query, found in (
        ("ASPIRIN", ids[:1]),
        ("öl", ids[1:]),
        ("yes", latest_first),
        ("nothing", []),
        ("", latest_first),
    ):
        listed = HTTP.get(f"{url}/v1/conversations", params={"query": query}).json()["data"]
        assert [summary["id"] for summary in listed] == found, query
    assert HTTP.get(f"{url}/v1/conversations", params={"query": "x" * 1001}).status_code == 400


def test_conversations_can_be_renamed(url: str) -> None:
    id = ask(url, medground={"conversation": "new"}).json()["medground"]["conversation"]
    path = f"{url}/v1/conversations/{id}"
    renamed = HTTP.patch(path, json={"title": " On <i>pain</i> "})
    assert (renamed.status_code, renamed.json()["title"], renamed.json()["turns"]) == (200, "On <i>pain</i>", 1)
    invalid_titles: list[Any] = [" ", "x" * 201, None, "\ud800"]
    for body in (*({"title": title} for title in invalid_titles), {}, {"title": "x", "user": "bob"}):
        headers = {"Content-Type": "application/json"}
        assert HTTP.patch(path, content=json.dumps(body), headers=headers).status_code == 400, body
    assert HTTP.patch(f"{url}/v1/conversations/{'0' * 32}", json={"title": "x"}).status_code == 404
