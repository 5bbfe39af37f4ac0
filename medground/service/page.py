"""The page at ``/``: a chat with the evidence beside it. It loads nothing from elsewhere and reports nothing."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio.routes import App

from chains.chat.conversations import NoConversation
from chains.chat.events import Done, Given, Judged, Token
from chains.chat.turn import Turn
from common.errors import UserError
from medground.service.errors import told_error
from medground.service.evidence import NOTHING, evidence_html
from medground.service.protocol import NEW, footnotes
from medground.service.service import Service

_SYSTEM = ["system-ui", "sans-serif"]
_FIXED = ["ui-monospace", "monospace"]
_CSS = """
footer { display: none !important; }
.mg-head p { margin: 0; font-size: var(--text-sm); }
.mg-chat { min-height: 18rem; }
.mg-chat button[aria-label="Clear"], .mg-chat button[title="Clear"] { display: none !important; }
.mg-evidence details { border-top: 1px solid var(--border-color-primary); padding: 0.5em 0; }
.mg-evidence summary { cursor: pointer; font-weight: 600; overflow-wrap: anywhere; }
.mg-evidence p { margin: 0.4em 0; line-height: 1.5; overflow-wrap: anywhere; white-space: pre-line; }
.mg-evidence mark { background: #fde68a; color: #1f2937; border-radius: 2px; padding: 0 1px; }
.mg-evidence mark.mg-deciding { outline: 2px solid #b45309; }
.dark .mg-evidence mark { background: #854d0e; color: #fef9c3; }
.mg-verdict { font-weight: 700; }
.mg-supported { color: #15803d; } .dark .mg-supported { color: #86efac; }
.mg-contradicted { color: #b91c1c; } .dark .mg-contradicted { color: #fca5a5; }
.mg-not { color: #92400e; } .dark .mg-not { color: #fcd34d; }
.mg-head p, .mg-score, .mg-origin, .mg-shares, .mg-note, .mg-none { color: #52525b; font-size: var(--text-sm); }
.dark :is(.mg-head p, .mg-score, .mg-origin, .mg-shares, .mg-note, .mg-none) { color: #a1a1aa; }
@media (max-width: 767px) { .mg-head { padding-left: 1.2rem; } }
textarea::placeholder { color: #71717a !important; } .dark textarea::placeholder { color: #a1a1aa !important; }
.mg-list label { overflow-wrap: anywhere; }
:focus-visible { outline: 2px solid var(--color-accent) !important; outline-offset: 1px; }
"""
_DARK = "() => { document.body.classList.toggle('dark'); }"
# On a narrow screen the list lies over the conversation, so it is closed at first.
_NARROW = "() => { if (window.innerWidth < 768) document.querySelector('.sidebar .toggle-button')?.click(); }"

_STOPPED = "Stopped. This question is not kept."
_FAILED = "⚠ "  # begins what is told in place of an answer

Said = list[dict[str, Any]]


def add_page(app: FastAPI, service: Service) -> None:
    """Mount the page."""
    users = service.users
    gr.mount_gradio_app(
        app,
        _blocks(service),
        path="/",
        auth=None if users.open else lambda user, token: users.of_token(token) == user,
        auth_message="Your name, and your token as the password.",
        theme=gr.themes.Base(font=_SYSTEM, font_mono=_FIXED),
        css=_CSS,
        footer_links=[],
        ssr_mode=False,
        pwa=False,
        max_file_size=1,  # there is nothing to upload
        show_error=True,
    )
    for mounted in (getattr(route, "app", None) for route in app.routes):
        if isinstance(mounted, App):
            service.at_close.append(mounted.stop_event.set)  # else open pages would hold the service up


def _blocks(service: Service) -> Any:
    page = _Page(service)
    with gr.Blocks(title="medground", analytics_enabled=False, fill_height=True, fill_width=True) as blocks:
        current = gr.State(None)
        with gr.Sidebar(label="Conversations", open=True, width=280):
            new = gr.Button("New conversation", variant="primary", size="sm")
            listed = gr.Radio([], label="Conversations", elem_classes="mg-list", interactive=True)
            delete = gr.Button("Delete this conversation", size="sm", interactive=False)
            dark = gr.Button("Light or dark", size="sm")
        gr.Markdown(page.head(), elem_classes="mg-head")
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=320):
                chat = gr.Chatbot(
                    label="Conversation",
                    height="calc(100vh - 17rem)",
                    elem_classes="mg-chat",
                    render_markdown=False,
                    buttons=["copy"],
                    feedback_options=None,
                    placeholder="Ask a medical question.",
                    layout="bubble",
                )
                with gr.Row():
                    box = gr.Textbox(
                        label="Your question",
                        placeholder="Enter sends it",
                        max_lines=6,
                        autofocus=True,
                        submit_btn=True,
                        scale=8,
                    )
                    stop = gr.Button("Stop", size="sm", scale=1, min_width=60, interactive=False)
            with gr.Column(scale=2, min_width=300):
                beside = gr.HTML(NOTHING, label="Evidence", show_label=True, container=True, padding=True)

        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        shown: list[Any] = [current, chat, beside, delete]
        changed: list[Any] = [box, current, chat, beside, listed, delete, stop]
        asked = box.submit(page.ask, [box, current, chat], changed, **private)
        stop.click(page.stopped, chat, [chat, stop], cancels=[asked], **private)
        new.click(page.new, None, [*shown, listed], cancels=[asked], **private)
        listed.input(page.open, listed, shown, cancels=[asked], **private)
        delete.click(page.delete, current, [*shown, listed], **private)
        chat.select(page.select, [current, chat], beside, **private)
        dark.click(None, None, None, js=_DARK, **private)
        blocks.load(page.load, None, listed, **private)
        blocks.load(None, None, None, js=_NARROW, **private)
    blocks.queue(default_concurrency_limit=None, api_open=False)
    return blocks


class _Page:
    """What the page's controls do; Gradio calls the methods, and tells who asks in ``request``."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def head(self) -> str:
        """What answers, and what a reader must know."""
        names = {"llm": "Model", "retriever": "Retriever", "agent": "Agent"}
        about = " · ".join(["**medground**", *(f"{names[key]}: {it}" for key, it in self._service.about.items())])
        return f"{about}\n\n{self._service.note}" if self._service.note else about

    def load(self, request: gr.Request) -> Any:
        """The list of the user's conversations."""
        return self._listed(request)

    async def ask(
        self, message: str, current: str | None, said: Said, request: gr.Request
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Answer a message in the conversation, or in a new one; yields what the list ``changed`` shows."""
        if not message.strip():
            yield (gr.skip(),) * 7
            return
        said = [*said, {"role": "user", "content": message}, {"role": "assistant", "content": "…"}]
        yield "", current, said, gr.skip(), gr.skip(), gr.skip(), gr.Button(interactive=True)
        text, beside, done = "", NOTHING, False
        try:
            asked = self._service.ask(self._user(request), current or NEW, message)
            async with aclosing(asked.events) as events:
                async for event in events:
                    match event:
                        case Token():
                            text += event.text
                        case Given() | Judged():
                            beside = evidence_html(_turn(message, event))
                        case Done():
                            text, beside, done = _text(event.turn), evidence_html(event.turn), True
                        case _:
                            continue
                    said = [*said[:-1], {"role": "assistant", "content": text or "…"}]
                    yield gr.skip(), gr.skip(), said, beside, gr.skip(), gr.skip(), gr.skip()
        except Exception as error:
            _, body, _ = told_error(error)
            said = [*said[:-1], {"role": "assistant", "content": f"{_FAILED}{body['error']['message']}"}]
        current = asked.conversation if done else current
        delete, stop = gr.Button(interactive=current is not None), gr.Button(interactive=False)
        yield gr.skip(), current, said, beside, self._listed(request, current), delete, stop

    def stopped(self, said: Said) -> tuple[Any, ...]:
        """After an answer was stopped: it is not kept."""
        return [*said[:-1], {"role": "assistant", "content": _STOPPED}], gr.Button(interactive=False)

    def new(self, request: gr.Request) -> tuple[Any, ...]:
        """An empty conversation, which is kept from its first answer on."""
        return *self._shown(None, []), self._listed(request)

    def open(self, id: str, request: gr.Request) -> tuple[Any, ...]:
        """A kept conversation."""
        try:
            turns = self._service.chat.conversations.read(self._user(request), id)
        except NoConversation:
            return self._shown(None, [])
        return self._shown(id, turns)

    def delete(self, current: str | None, request: gr.Request) -> tuple[Any, ...]:
        """Delete the conversation that is shown."""
        if current is not None:
            try:
                self._service.chat.conversations.delete(self._user(request), current)
            except UserError as error:
                gr.Warning(str(error))
        return *self._shown(None, []), self._listed(request)

    def select(self, current: str | None, said: Said, chosen: gr.SelectData, request: gr.Request) -> str:
        """The evidence of the answer that was chosen; what was stopped or failed is shown, and is no turn."""
        place = chosen.index[0] if isinstance(chosen.index, list | tuple) else chosen.index
        kept = [_is_kept(answer) for answer in said[1::2]]
        if current is None or not 0 <= place // 2 < len(kept) or not kept[place // 2]:
            return NOTHING
        try:
            turns = self._service.chat.conversations.read(self._user(request), current)
        except NoConversation:
            return NOTHING
        turn = sum(kept[: place // 2])
        return evidence_html(turns[turn] if turn < len(turns) else None)

    def _user(self, request: gr.Request) -> str:
        """Who is logged in; where nobody need be, the local user."""
        return request.username or self._service.users.local

    def _listed(self, request: gr.Request, chosen: str | None = None) -> Any:
        summaries = self._service.chat.conversations.list(self._user(request))
        return gr.Radio([(one.title or "Untitled", one.id) for one in summaries], value=chosen)

    def _shown(self, id: str | None, turns: Sequence[Turn]) -> tuple[Any, ...]:
        """What shows a conversation: its id, its messages, the last answer's evidence, the button that deletes it."""
        said: Said = []
        for turn in turns:
            said += [{"role": "user", "content": turn.message}, {"role": "assistant", "content": _text(turn)}]
        return id, said, evidence_html(turns[-1] if turns else None), gr.Button(interactive=id is not None)


def _is_kept(answer: Mapping[str, Any]) -> bool:
    """Whether a message shown is a turn's answer; Gradio gives back a text as a list of its parts."""
    content = answer["content"]
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return text != _STOPPED and not text.startswith(_FAILED)


def _text(turn: Turn) -> str:
    return turn.text + footnotes(turn.answer, None)


def _turn(message: str, event: Given | Judged) -> Turn:
    """A turn that is not done, as far as it is known."""
    return Turn(message=message, question=event.answer.question, text=event.answer.text, answer=event.answer)
