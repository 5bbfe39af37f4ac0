"""The page's static files: no unsafe code and no other hosts in them, and no other files served."""

import re
from pathlib import Path

import httpx
import pytest
from served import HTTP, ScriptedChain, make_service, running

from medground.service import static
from medground.service.static import add_page

FOLDER = Path(static.__file__).with_name("page")
FILES = sorted(FOLDER.iterdir())
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# JavaScript and HTML that turn text into markup or code, read cookies, or send data past the API
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|setHTML|DOMParser|srcdoc"
    r"|\beval\b|new Function|setTimeout\(\s*[\"'`]|setInterval\(\s*[\"'`]|javascript:|data:|import\("
    r"|\bon[a-z]+\s*=\s*[\"']|\bstyle\s*=\s*[\"']|<style|document\.cookie|postMessage|WebSocket|EventSource|sendBeacon"
)
URL = re.compile(r"(?:https?:)?//[\w\[]|@import|url\(")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_has_no_unsafe_code_and_no_url_of_another_host(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    text = text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    if path.suffix == ".js":
        text = re.sub(r"/\*.*?\*/|^\s*//.*$|(?<=\s)// .*$", "", text, flags=re.S | re.M)  # without comments
        text = text.replace('startsWith("data:")', "")  # a field of server-sent events, not a URL
    assert not FORBIDDEN.findall(text)
    assert not URL.findall(text)


def test_html_has_no_inline_script_and_refers_to_packaged_files_only() -> None:
    html = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script([^>]*)>(.*?)</script>", html, re.S) == [
        (' type="module" blocking="render" src="/assets/theme.js"', ""),
        (' type="module" src="/assets/app.js"', ""),
    ]
    assert set(re.findall(r'(?:src|href)="(.*?)"', html)) == {
        "/assets/icon.svg",
        "/assets/style.css",
        "/assets/theme.js",
        "/assets/app.js",
        "#question",
    }


def test_ids_in_scripts_and_html_attributes_exist_once() -> None:
    html = (FOLDER / "index.html").read_text(encoding="utf-8")
    ids = re.findall(r'\bid="(.*?)"', html)
    assert len(ids) == len(set(ids))
    looked_up = set(re.findall(r'\$\("([\w-]+)"\)', (FOLDER / "app.js").read_text(encoding="utf-8")))
    assert looked_up <= set(ids)
    for name in re.findall(r'(?:aria-controls|aria-labelledby|aria-describedby|for|data-close)="(.*?)"', html):
        assert name in ids


def test_scripts_import_packaged_modules_only() -> None:
    names = {path.name for path in FILES}
    for path in FOLDER.glob("*.js"):
        imported = re.findall(r'from "(.*?)"', path.read_text(encoding="utf-8"))
        assert {*imported} <= {f"./{name}" for name in names}


def test_only_the_packaged_files_are_served(tmp_path: Path) -> None:
    secret = tmp_path / "secret.js"
    secret.write_text("secret")
    other_names = [
        "..%2fstatic.py", "%2e%2e/static.py", "..%2f..%2f..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "static.py",
        str(secret).replace("/", "%2f"), f"file:{secret}".replace("/", "%2f"), "index.html", "app.js%00", "APP.JS",
        "app.js/", "./app.js%2f", "%5c%5chost%5cshare", "https:%2f%2fexample.org%2fx.js", "", "%20", "__pycache__",
    ]  # fmt: skip
    with (
        running(make_service(ScriptedChain(), tmp_path), add_page) as (url, _),
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        for path in FILES:
            response = client.get("/" if path.name == "index.html" else f"/assets/{path.name}")
            assert response.status_code == 200
            assert response.headers["Content-Type"] == TYPES[path.suffix]
            assert response.content == path.read_bytes()
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cache-Control"] in ("no-cache", "no-store")
        for name in other_names:
            response = client.get(f"/assets/{name}")
            assert response.status_code == 404, name
            assert "secret" not in response.text
            assert "root:" not in response.text
        assert client.get("/", params={"x": "../"}).status_code == 200
        assert client.post("/assets/app.js").status_code == 405


def test_service_without_the_page_has_no_static_routes(tmp_path: Path) -> None:
    with running(make_service(ScriptedChain(), tmp_path)) as (url, _):
        assert HTTP.get(url).status_code == 404
        assert HTTP.get(f"{url}/assets/app.js").status_code == 404
