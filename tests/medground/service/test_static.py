"""The page's files: what they hold, and that these and no others are served."""

import re
from pathlib import Path

import httpx
import pytest
from served import HTTP, Scripted, make_service, running

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
# Ways to make markup or code of a text, and to reach other hosts.
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|setHTML|DOMParser|srcdoc"
    r"|\beval\b|new Function|setTimeout\(\s*[\"'`]|setInterval\(\s*[\"'`]|javascript:|data:|import\("
    r"|\bon[a-z]+\s*=\s*[\"']|\bstyle\s*=\s*[\"']|<style|document\.cookie|postMessage|WebSocket|EventSource|sendBeacon"
)
URL = re.compile(r"(?:https?:)?//[\w\[]|@import|url\(")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_makes_no_markup_of_text_and_names_no_other_host(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    text = text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    if path.suffix == ".js":
        text = re.sub(r"/\*.*?\*/|^\s*//.*$|(?<=\s)// .*$", "", text, flags=re.S | re.M)  # comments do nothing
        text = text.replace('startsWith("data:")', "")  # the field of a server-sent event
    assert not FORBIDDEN.findall(text)
    assert not URL.findall(text)


def test_markup_has_no_script_or_style_of_its_own() -> None:
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


def test_every_element_that_a_script_looks_up_is_there() -> None:
    html = (FOLDER / "index.html").read_text(encoding="utf-8")
    ids = re.findall(r'\bid="(.*?)"', html)
    assert len(ids) == len(set(ids))
    looked_up = set(re.findall(r'\$\("([\w-]+)"\)', (FOLDER / "app.js").read_text(encoding="utf-8")))
    assert looked_up <= set(ids)
    for name in re.findall(r'(?:aria-controls|aria-labelledby|aria-describedby|for|data-close)="(.*?)"', html):
        assert name in ids


def test_each_module_imports_packaged_ones_only() -> None:
    names = {path.name for path in FILES}
    for path in FOLDER.glob("*.js"):
        imported = re.findall(r'from "(.*?)"', path.read_text(encoding="utf-8"))
        assert all(one.startswith("./") and one[2:] in names for one in imported)


def test_every_file_is_served_and_nothing_else(tmp_path: Path) -> None:
    secret = tmp_path / "secret.js"
    secret.write_text("secret")
    tried = [
        "..%2fstatic.py", "%2e%2e/static.py", "..%2f..%2f..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "static.py",
        str(secret).replace("/", "%2f"), f"file:{secret}".replace("/", "%2f"), "index.html", "app.js%00", "APP.JS",
        "app.js/", "./app.js%2f", "%5c%5chost%5cshare", "https:%2f%2fexample.org%2fx.js", "", "%20", "__pycache__",
    ]  # fmt: skip
    with (
        running(make_service(Scripted(), tmp_path), add_page) as (url, _),
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        for path in FILES:
            response = client.get("/" if path.name == "index.html" else f"/assets/{path.name}")
            assert response.status_code == 200
            assert response.headers["Content-Type"] == TYPES[path.suffix]
            assert response.content == path.read_bytes()
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cache-Control"] in ("no-cache", "no-store")
        for name in tried:
            response = client.get(f"/assets/{name}")
            assert response.status_code == 404, name
            assert "secret" not in response.text
            assert "root:" not in response.text
        assert client.get("/", params={"x": "../"}).status_code == 200
        assert client.post("/assets/app.js").status_code == 405


def test_the_page_can_be_switched_off(tmp_path: Path) -> None:
    with running(make_service(Scripted(), tmp_path)) as (url, _):
        assert HTTP.get(url).status_code == 404
        assert HTTP.get(f"{url}/assets/app.js").status_code == 404
