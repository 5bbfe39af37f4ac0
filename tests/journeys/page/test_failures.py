"""An answer that is stopped, a service without room, a lost connection, a conversation deleted elsewhere."""

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from chat_page import OTHER, accessible, answer, answers, ask, opened, ready, said, scripted, wait
from served import until

pytestmark = pytest.mark.slow


class TestWhenSomethingFails:
    def test_an_answer_is_stopped(self, browser: Any, tmp_path: Path) -> None:
        with scripted(tmp_path, answer, 3.0) as (url, service), opened(browser, url) as shown:
            page = shown.page
            ready(page)
            for stop in (lambda: page.click("#stop"), lambda: page.keyboard.press("Escape")):
                page.fill("#question", OTHER)
                page.focus("#question")
                page.keyboard.press("Enter")
                page.wait_for_selector("#stop")
                stop()
                said(page, "This question is not kept.")
                assert page.evaluate("document.activeElement.id") == "question"
                until(lambda: service.admission.active == 0, 10)
            assert service.chat.conversations.list("local") == []
            page.click(".turn >> nth=0 >> text=Edit")
            assert page.input_value("#question") == OTHER
            page.click("text=Ask again")
            answers(page, 1)

    def test_what_is_typed_outlasts_a_reload(self, browser: Any, tmp_path: Path) -> None:
        with scripted(tmp_path, answer, 1.5) as (url, _), opened(browser, url) as shown:
            page = shown.page
            ready(page)
            page.keyboard.type("A draft\u202e")
            page.reload()
            ready(page)
            assert page.input_value("#question") == "A draft\u202e"
            page.fill("#question", OTHER)
            page.keyboard.press("Enter")
            page.keyboard.type("The next one")
            page.wait_for_selector("#stop")
            page.reload()
            ready(page)
            assert page.input_value("#question") == "The next one"
            page.click("text=Ask again")
            answers(page, 1)
            assert page.inner_text(".question") == OTHER
            assert page.input_value("#question") == "The next one"
            page.reload()
            answers(page, 1)
            assert page.input_value("#question") == "The next one"

    @pytest.mark.parametrize("closing", [False, True])
    def test_a_service_without_room_is_asked_again(self, browser: Any, tmp_path: Path, closing: bool) -> None:
        with scripted(tmp_path, answer, 2.0, batch=1, queue=0) as (url, service), opened(browser, url) as shown:
            page = shown.page
            ready(page)
            held = None
            if closing:
                service.admission._closing = True
            else:
                held = threading.Thread(target=httpx.post, args=(f"{url}/v1/chat/completions",), kwargs={
                    "json": {"messages": [{"role": "user", "content": "Is it so?"}]}, "trust_env": False, "timeout": 30,
                })  # fmt: skip
                held.start()
                until(lambda: service.admission.active == 1)
            page.keyboard.type(OTHER)
            page.keyboard.press("Enter")
            page.wait_for_selector("text=Asking again in")
            assert "asked again in" in page.inner_text("#status")
            accessible(page)
            if closing:
                service.admission._closing = False
                page.click("text=Ask now")
            answers(page, 1)
            if held is not None:
                held.join()
            shown.errors = [one for one in shown.errors if "429" not in one and "503" not in one]

    def test_a_lost_connection_is_said_and_the_question_asked_again(self, browser: Any, tmp_path: Path) -> None:
        with (
            scripted(tmp_path, answer, 1.0) as (real, service),
            Proxy(real) as proxy,
            opened(browser, proxy.url) as shown,
        ):
            page = shown.page
            ready(page)
            ask(page, OTHER)
            page.fill("#question", "And in men?")
            page.keyboard.press("Enter")
            page.wait_for_selector("#stop")
            page.wait_for_timeout(300)
            proxy.cut()
            page.wait_for_selector("text=The connection was lost before the answer was complete.")
            page.click("text=Ask again")
            page.wait_for_selector("text=The service cannot be reached.")
            accessible(page)
            page.click("#search")
            page.keyboard.type("x")
            said(page, "cannot be reached")
            proxy.mend()
            page.click("text=Ask again")
            answers(page, 2)
            (kept,) = service.chat.conversations.list("local")
            assert kept.turns == 2
            shown.errors = [one for one in shown.errors if "net::ERR" not in one]

    def test_an_answer_that_was_stored_is_not_asked_for_twice(self, browser: Any, tmp_path: Path) -> None:
        with (
            scripted(tmp_path, answer, 1.0) as (real, service),
            Proxy(real) as proxy,
            opened(browser, proxy.url) as shown,
        ):
            page = shown.page
            ready(page)
            ask(page, OTHER)
            proxy.mute = True  # what the service answers does not arrive
            page.fill("#question", "And in men?")
            page.keyboard.press("Enter")
            until(lambda: service.chat.conversations.list("local")[0].turns == 2, 20)
            proxy.cut()
            page.wait_for_selector("text=Ask again")
            proxy.mute = False
            proxy.mend()
            page.click("text=Ask again")
            answers(page, 2)
            assert service.chat.conversations.list("local")[0].turns == 2
            shown.errors = [one for one in shown.errors if "net::ERR" not in one]

    def test_a_conversation_that_was_deleted_elsewhere(self, browser: Any, tmp_path: Path) -> None:
        with scripted(tmp_path, answer) as (url, service), opened(browser, url) as shown:
            page = shown.page
            ready(page)
            ask(page, OTHER)
            service.chat.conversations.delete("local", page.url.partition("#")[2])
            page.fill("#question", "And in men?")
            page.keyboard.press("Enter")
            page.wait_for_selector("text=Asking again begins a new one.")
            page.click("text=Ask again")
            wait(page, "document.querySelectorAll('.conversation').length === 1")
            page.goto(f"{url}/#{'0' * 32}")
            said(page, "There is no conversation")
            assert page.inner_text("#title") == "New conversation"
            shown.errors = [one for one in shown.errors if "404" not in one]


class Proxy:
    """A TCP proxy whose connections can be cut; ``mute`` holds back what the service says."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url).port
        self._open: list[socket.socket] = []
        self.mute = False
        self._listen(0)

    def _listen(self, port: int) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self._port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            self._open += [client, server]
            for source, target, replies in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(source, target, replies), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, replies: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not (replies and self.mute):
                    target.sendall(data)

    def cut(self) -> None:
        """Close all connections, and take no new ones."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def mend(self) -> None:
        """Listen again at the same address."""
        self._listen(self._port)

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # it may be cut already
            self.cut()
