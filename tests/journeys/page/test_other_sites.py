"""A hostile site's page, open in the same browser, can neither read nor change the service's data."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from chat_page import EVIL_HOST, TOKEN, make_turn, wait_until_ready
from chromium import visit
from served import ScriptedChain, make_service, running

from medground.service.static import add_page

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("tokens", [None, {"ann": TOKEN}], ids=["without login", "with login"])
@pytest.mark.parametrize("host", [EVIL_HOST, "127.0.0.1"])
def test_hostile_site_reads_and_changes_nothing(
    browser: Any, tmp_path: Path, tokens: dict[str, str] | None, host: str
) -> None:
    service = make_service(ScriptedChain(), tmp_path, tokens)
    user = "ann" if tokens else "local"
    id = service.chat.conversations.create(user, make_turn("Secret question"), "Secret title")
    with running(service, add_page) as (url, _), hostile_site() as port, visit(browser, url) as visited:
        page = visited.page
        if tokens:
            page.fill("#token", TOKEN)
            page.keyboard.press("Enter")
        wait_until_ready(page)
        evil = page.context.new_page()  # shares the cookies of the page that is logged in
        evil.goto(f"http://{host}:{port}/")
        rebound = f"http://{EVIL_HOST}:{urlsplit(url).port}"  # the service under the site's name (DNS rebinding)
        attempts = evil.evaluate(ATTACK, {"urls": [url, url.replace("127.0.0.1", "localhost"), rebound], "id": id})
        assert [attempt for attempt in attempts if attempt["read"]] == []
        assert len(attempts) > 30  # the script ran to its end
        evil.wait_for_timeout(1000)  # forms and frames load meanwhile
        frames = "Array.from({ length: frames.length }, (_, number) => frames[number])"
        frame_text = "(frame) => { try { return frame.document.body.innerText } catch { return '' } }"
        assert evil.evaluate(f"{frames}.map({frame_text}).join('')") == ""
        evil.goto(f"{rebound}/v1/conversations")
        assert "Secret title" not in evil.evaluate("document.documentElement.textContent")
        (conversation,) = service.chat.conversations.list(user)
        assert (conversation.id, conversation.title, conversation.turns) == (id, "Secret title", 1)


@contextmanager
def hostile_site() -> Iterator[int]:
    """Run the server of an empty page; yields its port."""

    class EmptyPage(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>evil</title><body>")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    with closing(server.socket):
        yield server.server_port
        server.shutdown()


# Sends requests to another origin in every way that a page can, and returns each attempt with the text that it could
# read. A request without a readable reply can still change data, for which the test checks the conversations.
ATTACK = """async ({ urls, id }) => {
  const attempts = [];
  const reach = async (name, request) => {
    let read = '';
    try {
      const response = await request();
      if (response.type !== 'opaque') read = await response.text();
      if (response.status === 403) read = '';
    } catch {}
    attempts.push({ name, read });
  };
  const messages = [{ role: 'user', content: 'Is it so?' }];
  const chat = JSON.stringify({ messages, medground: { conversation: 'new' } });
  for (const url of urls) {
    for (const credentials of ['include', 'omit']) {
      for (const path of ['/', '/v1/session', '/v1/conversations', `/v1/conversations/${id}`, '/v1/models',
        `/v1/conversations/${id}/export?format=json`, '/openapi.json', '/metrics', '/assets/app.js']) {
        await reach(path, () => fetch(url + path, { credentials }));
        await reach(path, () => fetch(url + path, { credentials, mode: 'no-cors' }));
      }
      await reach('delete', () => fetch(`${url}/v1/conversations/${id}`, { method: 'DELETE', credentials }));
      await reach('rename', () => fetch(`${url}/v1/conversations/${id}`, { method: 'PATCH', credentials,
        headers: { 'Content-Type': 'application/json' }, body: '{"title": "changed"}' }));
      for (const type of ['text/plain', 'application/json', 'application/x-www-form-urlencoded']) {
        for (const mode of ['cors', 'no-cors']) {
          await reach('ask', () => fetch(`${url}/v1/chat/completions`,
            { method: 'POST', mode, credentials, headers: { 'Content-Type': type }, body: chat }));
          await reach('log in', () => fetch(`${url}/v1/session`,
            { method: 'POST', mode, credentials, headers: { 'Content-Type': type }, body: '{"token": "x"}' }));
        }
      }
      await reach('log out', () => fetch(`${url}/v1/session`, { method: 'DELETE', credentials }));
      navigator.sendBeacon(`${url}/v1/chat/completions`, chat);
    }
    for (const path of ['/', '/v1/conversations']) {
      const frame = document.createElement('iframe');
      frame.name = `frame${Math.random()}`;
      frame.src = url + path;
      document.body.append(frame);
    }
    const frame = document.createElement('iframe');
    frame.name = `form${url}`;
    const form = document.createElement('form');
    Object.assign(form, { action: `${url}/v1/chat/completions`, method: 'post', enctype: 'text/plain' });
    form.target = frame.name;
    const field = document.createElement('input');
    Object.assign(field, { name: chat.slice(0, -1) + ', "x": "', value: '"}' });
    form.append(field);
    document.body.append(frame, form);
    form.submit();
    const script = document.createElement('script');
    script.src = `${url}/v1/conversations`;
    document.body.append(script);
  }
  return attempts;
}"""
