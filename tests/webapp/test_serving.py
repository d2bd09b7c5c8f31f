"""The web app's files: what is sent, how it may be kept, and what it may do in a browser."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path
from urllib.parse import urljoin

import azure.functions as func
import pytest

from kernel.settings import Settings
from triggers.app import create_app
from triggers.webapp import ROOT, WebApp

PROJECT = ROOT.parent
PAGE = "https://app.example/api/app/"
MOST_BYTES = 150_000
"""Most that the whole app may weigh when it is sent."""
MOST_FIRST_FILES, MOST_FIRST_BYTES = 26, 75_000
"""Most that the first page may need besides itself and its icon."""


@pytest.fixture
def app() -> WebApp:
    return WebApp()


def sent(app: WebApp, path: str, url: str = PAGE, **headers: str) -> func.HttpResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return app.answer(path, url, {"accept-encoding": "gzip, deflate, br"} | named)


def text(response: func.HttpResponse) -> str:
    body = response.get_body()
    return (gzip.decompress(body) if response.headers.get("Content-Encoding") == "gzip" else body).decode()


def links(page: str, at: str = PAGE) -> list[str]:
    """Return the addresses of everything that the page loads, import map included."""
    imports = json.loads(re.findall(r'<script type="importmap">(.*?)</script>', page)[0])["imports"]
    found = [*re.findall(r'(?:src|href)="([^"#]+)"', page), *imports.values()]
    return [urljoin(at, link) for link in found]


@pytest.mark.parametrize(
    "at", ["https://app.example/api/app", "https://app.example/api/app/", "https://gw.example/x/api/app"]
)
def test_the_page_finds_its_files_with_or_without_a_slash_and_behind_any_prefix(app: WebApp, at: str) -> None:
    """Every link leads to a file that is there."""
    for link in links(text(sent(app, "", at)), at):
        assert link.startswith(at.rstrip("/") + "/v/")
        path = link.removeprefix(at.rstrip("/") + "/")

        assert sent(app, path).status_code == 200, link


def test_every_module_that_is_imported_is_there(app: WebApp) -> None:
    """Relative imports and names of the import map."""
    imports = json.loads(re.findall(r'<script type="importmap">(.*?)</script>', text(sent(app, "")))[0])["imports"]
    for name, asset in app.files.items():
        if not name.startswith("js/"):
            continue
        for imported in re.findall(r'(?:from |import |import\()"([^"]+)"', asset.body.decode()):
            if imported.startswith("."):
                assert urljoin(f"https://x/{name}", imported).removeprefix("https://x/") in app.files, (name, imported)
            else:
                assert imported in imports, (name, imported)


def test_all_of_it_is_small(app: WebApp) -> None:
    """What a browser loads the first time, as it is sent."""
    page, _ = app.page("")
    weight = sum(len(asset.gzipped or asset.body) for asset in [page, *app.files.values()])

    assert weight <= MOST_BYTES, weight


def test_the_first_page_comes_with_what_it_needs(app: WebApp) -> None:
    """Every module that is imported before it can show anything is preloaded, and no other: half of the weight."""
    page = text(sent(app, ""))
    preloaded = set(re.findall(r'rel="modulepreload" href="v/[0-9a-f]+/([^"]+)"', page))
    loaded = preloaded | {"app.css", "vendor/uPlot.min.css", "vendor/uPlot.iife.min.js"}

    assert {"js/main.js", "js/pages/now.js", "vendor/preact.mjs", "vendor/eventsource-parser/parse.js"} <= preloaded
    assert not {"js/pages/chat.js", "js/markdown.js", "vendor/marked.esm.js", "vendor/purify.min.js"} & preloaded
    assert len(loaded) <= MOST_FIRST_FILES
    assert sum(len(app.files[name].gzipped or app.files[name].body) for name in loaded) <= MOST_FIRST_BYTES


def test_what_is_vendored_is_what_npm_has() -> None:
    """Byte for byte, in the versions of package-lock.json; `make webapp` copies them."""
    listed = [line.split() for line in (PROJECT / "scripts/vendor.txt").read_text().splitlines()]
    found = {path.relative_to(ROOT / "vendor").as_posix() for path in (ROOT / "vendor").rglob("*") if path.is_file()}

    assert found == {name for name, _ in listed}
    for name, origin in listed:
        assert (ROOT / "vendor" / name).read_bytes() == (PROJECT / "node_modules" / origin).read_bytes(), name


def test_files_are_kept_for_ever_and_the_page_is_looked_at_again(app: WebApp) -> None:
    """A file's address names the content of them all."""
    page = sent(app, "")
    script = sent(app, f"v/{app.version}/js/main.js")

    assert page.headers["Cache-Control"] == "no-cache"
    assert "immutable" in script.headers["Cache-Control"]
    assert script.headers["Vary"] == "Accept-Encoding"
    assert script.mimetype == "text/javascript"


def test_nobody_keeps_what_another_version_answers(app: WebApp) -> None:
    """While versions are mixed, an old address may be answered by a new worker."""
    assert sent(app, "v/0123456789abcdef/js/main.js").headers["Cache-Control"] == "no-store"


def test_an_unchanged_file_is_not_sent_again(app: WebApp) -> None:
    """By a strong ETag of the representation: compressed and plain differ."""
    first = sent(app, "")
    plain = app.answer("", PAGE, {})
    tag = first.headers["ETag"]

    assert not tag.startswith("W/")
    assert plain.headers["ETag"] != tag
    assert sent(app, "", if_none_match=f'"other", {tag}').status_code == 304
    assert sent(app, "", if_none_match='"other"').status_code == 200


@pytest.mark.parametrize(
    ("accepts", "packed"),
    [
        ("gzip", True),
        ("br, gzip;q=0.8", True),
        ("*", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.0, br", False),
        ("xgzip", False),
    ],
)
def test_it_is_compressed_for_those_who_take_it(app: WebApp, accepts: str, packed: bool) -> None:
    """As Accept-Encoding says."""
    response = app.answer(f"v/{app.version}/app.css", PAGE, {"accept-encoding": accepts})

    assert (response.headers.get("Content-Encoding") == "gzip") == packed
    assert text(response) == (ROOT / "app.css").read_text()


@pytest.mark.parametrize(
    "path",
    [
        "v",
        "v/",
        "nothing",
        "../host.json",
        "v/x/../../host.json",
        "v/x/",
        "vendor.txt",
        "index.html",
        "v/x/index.html",
        "v/x/vendor.txt",
    ],
)
def test_nothing_else_is_served(app: WebApp, path: str) -> None:
    """No file outside, no page by its file's name."""
    assert sent(app, path).status_code == 404


def test_the_policy_allows_the_apps_own_files_only(app: WebApp) -> None:
    """No inline script but the import map by its hash, nothing evaluated, no other site, no frame."""
    page = sent(app, "")
    policy = page.headers["Content-Security-Policy"]
    scripts = re.findall(r"<script[^>]*>([^<]+)</script>", text(page))

    assert len(scripts) == 1
    assert f"'sha256-{base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()}'" in policy
    assert "unsafe" not in policy
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"\son\w+=|\sstyle=|https?:", text(page))


def test_no_source_has_markup_that_the_policy_forbids() -> None:
    """No style attribute and no handler in markup: the browser would drop it."""
    for path in (ROOT / "js").rglob("*.js"):
        assert not re.search(r'\sstyle="|\son[a-z]+="', path.read_text()), path


def test_the_page_is_for_everybody() -> None:
    """Its two functions need no key: they hold no data."""
    settings = Settings.from_environment({"TablesConnection": "x", "ServiceBusConnection": "y"})
    functions = {f.get_function_name(): f for f in create_app(settings).get_functions()}

    for name in ("web_app", "web_app_files"):
        trigger = functions[name].get_trigger().get_dict_repr()  # pyright: ignore[reportOptionalMemberAccess]
        assert str(trigger["authLevel"]).lower().endswith("anonymous")


async def test_nothing_is_written_to_it() -> None:
    """Other methods are refused by name."""
    settings = Settings.from_environment({"TablesConnection": "x", "ServiceBusConnection": "y"})
    functions = {f.get_function_name(): f for f in create_app(settings).get_functions()}
    request = func.HttpRequest("POST", PAGE, body=b"")
    response = await functions["web_app"].get_user_function()(request)

    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD"


def test_it_is_deployed() -> None:
    """The package that is deployed has it."""
    assert "!/webapp/" in Path(PROJECT / ".funcignore").read_text().splitlines()
