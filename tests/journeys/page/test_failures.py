"""The chat page after a stopped answer, a refused question, a lost connection and a deleted conversation."""

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from chat_page import (
    OTHER_QUESTION,
    ask,
    assert_accessible,
    make_answer,
    open_page,
    scripted_service,
    wait_for,
    wait_for_answers,
    wait_for_status,
    wait_until_ready,
)
from served import ask as request_answer
from served import until

pytestmark = pytest.mark.slow


def test_stopped_question_is_not_stored_and_can_be_asked_again(browser: Any, tmp_path: Path) -> None:
    with scripted_service(tmp_path, make_answer, 3.0) as (url, service), open_page(browser, url) as page:
        for stop in (lambda: page.click("#stop"), lambda: page.keyboard.press("Escape")):
            page.fill("#question", OTHER_QUESTION)
            page.focus("#question")
            page.keyboard.press("Enter")
            page.wait_for_selector("#stop")
            stop()
            wait_for_status(page, "This question is not kept.")
            assert page.evaluate("document.activeElement.id") == "question"
            until(lambda: service.admission.active == 0, 10)
        assert service.chat.conversations.list("local") == []
        page.click(".turn >> nth=0 >> text=Edit")
        assert page.input_value("#question") == OTHER_QUESTION
        page.fill("#question", "Does tea help?")
        page.keyboard.press("Enter")
        wait_for_answers(page, 1)
        assert page.inner_text("#title") == page.inner_text(".conversation-title") == "Does tea help?"
        page.click(".turn >> nth=0 >> text=Ask again")
        wait_for_answers(page, 2)


def test_draft_and_unanswered_question_survive_a_reload(browser: Any, tmp_path: Path) -> None:
    with scripted_service(tmp_path, make_answer, 1.5) as (url, _), open_page(browser, url) as page:
        page.keyboard.type("A draft\u202e")
        page.reload()
        wait_until_ready(page)
        assert page.input_value("#question") == "A draft\u202e"
        page.fill("#question", OTHER_QUESTION)
        page.keyboard.press("Enter")
        page.keyboard.type("The next one")
        page.wait_for_selector("#stop")
        page.reload()
        wait_until_ready(page)
        assert page.input_value("#question") == "The next one"
        page.click("text=Ask again")
        wait_for_answers(page, 1)
        assert page.inner_text(".question") == OTHER_QUESTION
        assert page.input_value("#question") == "The next one"
        page.reload()
        wait_for_answers(page, 1)
        assert page.input_value("#question") == "The next one"


@pytest.mark.parametrize("shutting_down", [False, True], ids=["queue full", "shutting down"])
def test_refused_question_is_sent_again(browser: Any, tmp_path: Path, shutting_down: bool) -> None:
    with (
        scripted_service(tmp_path, make_answer, 2.0, batch=1, queue=0) as (url, service),
        open_page(browser, url, ignored_errors=("429", "503")) as page,
    ):
        other_request = threading.Thread(target=request_answer, args=(url,))
        if shutting_down:
            service.admission._closing = True
        else:
            other_request.start()
            until(lambda: service.admission.active == 1)
        page.keyboard.type(OTHER_QUESTION)
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Asking again in")
        assert "asked again in" in page.inner_text("#status")
        assert_accessible(page)
        if shutting_down:
            service.admission._closing = False
            page.click("text=Ask now")
        wait_for_answers(page, 1)
        if not shutting_down:
            other_request.join()


def test_lost_connection_is_reported_and_question_can_be_asked_again(browser: Any, tmp_path: Path) -> None:
    with (
        scripted_service(tmp_path, make_answer, 1.0) as (url, service),
        Proxy(url) as proxy,
        open_page(browser, proxy.url, ignored_errors=("net::ERR",)) as page,
    ):
        ask(page, OTHER_QUESTION)
        page.fill("#question", "And in men?")
        page.keyboard.press("Enter")
        page.wait_for_selector("#stop")
        page.wait_for_timeout(300)
        proxy.disconnect()
        page.wait_for_selector("text=The connection was lost before the answer was complete.")
        page.click("text=Ask again")
        page.wait_for_selector("text=The service cannot be reached.")
        assert_accessible(page)
        page.click("#search")
        page.keyboard.type("x")
        wait_for_status(page, "cannot be reached")
        proxy.reconnect()
        page.click("text=Ask again")
        wait_for_answers(page, 2)
        (conversation,) = service.chat.conversations.list("local")
        assert conversation.turns == 2


def test_asking_again_shows_a_stored_answer_without_a_new_turn(browser: Any, tmp_path: Path) -> None:
    with (
        scripted_service(tmp_path, make_answer, 1.0) as (url, service),
        Proxy(url) as proxy,
        open_page(browser, proxy.url, ignored_errors=("net::ERR",)) as page,
    ):
        ask(page, OTHER_QUESTION)
        proxy.drop_replies = True
        page.fill("#question", "And in men?")
        page.keyboard.press("Enter")
        until(lambda: service.chat.conversations.list("local")[0].turns == 2, 20)
        proxy.disconnect()
        page.wait_for_selector("text=Ask again")
        proxy.drop_replies = False
        proxy.reconnect()
        page.click("text=Ask again")
        wait_for_answers(page, 2)
        assert service.chat.conversations.list("local")[0].turns == 2


def test_question_in_a_deleted_conversation_begins_a_new_one(browser: Any, tmp_path: Path) -> None:
    with (
        scripted_service(tmp_path, make_answer) as (url, service),
        open_page(browser, url, ignored_errors=("404",)) as page,
    ):
        ask(page, OTHER_QUESTION)
        service.chat.conversations.delete("local", page.url.partition("#")[2])
        page.fill("#question", "And in men?")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Asking again begins a new one.")
        page.click("text=Ask again")
        wait_for(page, "document.querySelectorAll('.conversation').length === 1")
        page.goto(f"{url}/#{'0' * 32}")
        wait_for_status(page, "There is no conversation")
        assert page.inner_text("#title") == "New conversation"


class Proxy:
    """A TCP proxy in front of the service that can be disconnected, and drops replies while ``drop_replies`` is set."""

    def __init__(self, url: str) -> None:
        self._service_port = urlsplit(url).port
        self._connections: list[socket.socket] = []
        self.drop_replies = False
        self._listen(0)

    def _listen(self, port: int) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self._port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._service_port))
            self._connections += [client, server]
            for source, target, replies in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._forward, args=(source, target, replies), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, replies: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not (replies and self.drop_replies):
                    target.sendall(data)

    def disconnect(self) -> None:
        """Close all connections and accept no new ones."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._connections.clear()

    def reconnect(self) -> None:
        """Accept connections again, at the same address."""
        self._listen(self._port)

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # raised if it is disconnected already
            self.disconnect()
