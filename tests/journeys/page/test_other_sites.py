"""Another site's page, open in the same browser, reads and changes nothing."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from chat_page import EVIL, TOKEN, ready, turn
from chromium import visit
from served import Scripted, make_service, running

from medground.service.static import add_page

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("tokens", [None, {"ann": TOKEN}])
@pytest.mark.parametrize("host", [EVIL, "127.0.0.1"])
def test_another_site_reads_and_changes_nothing(
    browser: Any, tmp_path: Path, tokens: dict[str, str] | None, host: str
) -> None:
    service = make_service(Scripted(), tmp_path, tokens)
    user = "ann" if tokens else "local"
    id = service.chat.conversations.create(user, turn("Secret question"), "Secret title")
    with running(service, add_page) as (url, _), attacker() as port, visit(browser, url) as shown:
        page = shown.page
        if tokens:
            page.fill("#token", TOKEN)
            page.keyboard.press("Enter")
        ready(page)
        evil = page.context.new_page()  # beside the page that is logged in
        evil.goto(f"http://{host}:{port}/")
        own, rebound = url, f"http://{EVIL}:{urlsplit(url).port}"
        tried = evil.evaluate(ATTACK, {"urls": [own, own.replace("127.0.0.1", "localhost"), rebound], "id": id})
        assert [one for one in tried if one["read"]] == []
        assert len(tried) > 30
        evil.wait_for_timeout(1000)  # forms and frames
        frames = "Array.from({ length: frames.length }, (_, number) => frames[number])"
        peek = "(frame) => { try { return frame.document.body.innerText } catch { return '' } }"
        assert evil.evaluate(f"{frames}.map({peek}).join('')") == ""
        evil.goto(f"{rebound}/v1/conversations")
        assert "Secret title" not in evil.evaluate("document.documentElement.textContent")
        (kept,) = service.chat.conversations.list(user)
        assert (kept.id, kept.title, kept.turns) == (id, "Secret title", 1)


@contextmanager
def attacker() -> Iterator[int]:
    """The port of another site's server."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>evil</title><body>")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    with closing(server.socket):
        yield server.server_port
        server.shutdown()


# Everything by which a page may reach another origin. A request that is answered with a body that can be read counts
# as read; one that cannot be read may still change something, which the test looks for in the service itself.
ATTACK = """async ({ urls, id }) => {
  const tried = [];
  const reach = async (name, request) => {
    let read = '';
    try {
      const response = await request();
      if (response.type !== 'opaque') read = await response.text();
      if (response.status === 403) read = '';
    } catch {}
    tried.push({ name, read });
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
  return tried;
}"""
