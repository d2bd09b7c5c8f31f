"""Serving the web app: static files under `/api/app`, the same on Functions and on the local host.

Anybody may load the page; it contains no data. It reads data from the public API, with the user's own key.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import mimetypes
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import azure.durable_functions as df
import azure.functions as func

from kernel.settings import Settings
from triggers.http.error_responses import not_allowed
from triggers.http.functions_http import answer_to, request_of

ROOT = Path(__file__).parents[1] / "webapp"
ENTRA = "/.auth/login/aad"
"""Where App Service authentication signs a browser in (learn.microsoft.com/azure/app-service, "Customize sign-ins")."""
_INDEX = "index.html"
_SCRIPT = "js/main.js"
_IMPORTED = re.compile(r"""(?:from|import)\s*["']([^"']+)["']""")
_METHODS = ("GET", "HEAD")
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_COMPRESSED = ("text/", "image/svg")
_YEAR = "public, max-age=31536000, immutable"
_REVALIDATE = "no-cache"
_ACCEPTS_GZIP = re.compile(
    r"(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[0-9.]+\s*)?(?=,|$)", re.IGNORECASE
)
_POLICY = (
    "default-src 'self'; script-src 'self' 'sha256-{map}'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
_IMPORTS = {
    "preact": "vendor/preact.mjs",
    "preact/hooks": "vendor/hooks.mjs",
    "@preact/signals": "vendor/signals.module.js",
    "@preact/signals-core": "vendor/signals-core.module.js",
    "htm": "vendor/htm.module.js",
    "marked": "vendor/marked.esm.js",
    "eventsource-parser": "vendor/eventsource-parser/index.js",
}
"""Directory of the modules in the page's import map."""


@dataclass(frozen=True)
class Asset:
    """A file as it is served.

    Attributes:
        body: Its bytes.
        mimetype: Its media type.
    """

    body: bytes
    mimetype: str

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content, in hex, shortened."""
        return hashlib.sha256(self.body).hexdigest()[:32]

    @cached_property
    def gzipped(self) -> bytes | None:
        """The gzipped body; None where that is no smaller."""
        if not self.mimetype.startswith(_COMPRESSED):
            return None
        packed = gzip.compress(self.body, 9, mtime=0)
        return packed if len(packed) < len(self.body) else None


class WebApp:
    """The files of the web app, read once on first use.

    All except the page itself are below `v/{version}/`, where the version is a digest of all files: they can be cached
    for ever, because a new deployment has new addresses.
    """

    def __init__(self, root: Path = ROOT, sign_in: str = "") -> None:
        """Set the directory of the files, and the path at which the platform signs in; empty where it does not."""
        self._root = root
        self._sign_in = sign_in

    @cached_property
    def files(self) -> Mapping[str, Asset]:
        """All files except the page itself, by path below the directory."""
        paths = (path for path in sorted(self._root.rglob("*")) if path.is_file() and path.name != _INDEX)
        return {path.relative_to(self._root).as_posix(): _asset(path) for path in paths}

    @cached_property
    def version(self) -> str:
        """A digest of all files."""
        page = (self._root / _INDEX).read_bytes()
        return hashlib.sha256(
            b"".join([page, *(f"{name}={asset.digest};".encode() for name, asset in self.files.items())])
        ).hexdigest()[:16]

    def page(self, base: str) -> tuple[Asset, str]:
        """Return the page, and the hash (base64) of its import map.

        Args:
            base: Path from the page's address to the app's: empty, or `app/`.
        """
        below = f"{base}v/{self.version}/"
        imports = json.dumps({"imports": {name: f"./{below}{path}" for name, path in _IMPORTS.items()}})
        text = (self._root / _INDEX).read_text(encoding="utf-8")
        filled = {"below": below, "importmap": imports, "preloads": self._preloads(below), "sign_in": self._sign_in}
        for name, value in filled.items():
            text = text.replace(f"{{{name}}}", value)
        digest = base64.b64encode(hashlib.sha256(imports.encode()).digest()).decode()
        return Asset(text.encode(), "text/html"), digest

    def _preloads(self, below: str) -> str:
        """Return preload links for the first page's modules, to be fetched at once, not import by import."""
        return "".join(f'<link rel="modulepreload" href="{below}{name}" />' for name in self._needed_first)

    @cached_property
    def _needed_first(self) -> Sequence[str]:
        """What the page's script imports, and what that does; what is imported later, by `import(…)`, is not in it."""
        found = [_SCRIPT]
        for name in found:  # which grows meanwhile
            for imported in _IMPORTED.findall(self.files[name].body.decode()):
                path = _IMPORTS.get(imported) or posixpath.normpath(f"{posixpath.dirname(name)}/{imported}")
                if path not in found:
                    found.append(path)
        return found

    def answer(self, path: str, url: str, headers: Mapping[str, str]) -> func.HttpResponse:
        """Return the response to a request.

        Args:
            path: Path below the app's address; empty for the page.
            url: The whole address.
            headers: The request's headers, by lower-case name.
        """
        if not path:
            # The page's links are relative, so that the app works below any prefix that a gateway adds.
            page, digest = self.page("" if urlsplit(url).path.endswith("/") else "app/")
            return _response(page, headers, _REVALIDATE, {"Content-Security-Policy": _POLICY.format(map=digest)})
        version, _, name = path.removeprefix("v/").partition("/")
        asset = self.files.get(name) if path.startswith("v/") else None
        if asset is None:
            return func.HttpResponse("Not found", status_code=404, headers=_SECURITY | {"Cache-Control": "no-store"})
        # During a deployment, a worker may be asked for files of another version: its response must not be cached.
        return _response(asset, headers, _YEAR if version == self.version else "no-store")


def register(blueprint: df.Blueprint, settings: Settings) -> None:
    """Register the functions that serve the web app."""
    app = WebApp(sign_in=ENTRA if settings.auth_mode == "entra" else "")

    @blueprint.function_name("web_app")
    @blueprint.route("app", auth_level=func.AuthLevel.ANONYMOUS)
    async def web_app_page(req):  # pyright: ignore[reportUnusedFunction]
        return await answer_to(req, _answered(app, await request_of(req)))

    @blueprint.function_name("web_app_files")
    @blueprint.route("app/{*path}", auth_level=func.AuthLevel.ANONYMOUS)
    async def web_app_files(req):  # pyright: ignore[reportUnusedFunction]
        return await answer_to(req, _answered(app, await request_of(req)))


def _answered(app: WebApp, req: func.HttpRequest) -> func.HttpResponse:
    if req.method.upper() not in _METHODS:
        return not_allowed(_METHODS)
    headers = {name.lower(): value for name, value in req.headers.items()}
    return app.answer((req.route_params.get("path") or "").strip("/"), req.url, headers)


def _asset(path: Path) -> Asset:
    mimetype = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(path.read_bytes(), mimetype)


def _response(
    asset: Asset, asked: Mapping[str, str], caching: str, more: Mapping[str, str] | None = None
) -> func.HttpResponse:
    packed = asset.gzipped if _ACCEPTS_GZIP.search(asked.get("accept-encoding", "")) else None
    etag = f'"{asset.digest}-gz"' if packed else f'"{asset.digest}"'
    headers = {**_SECURITY, **(more or {}), "Cache-Control": caching, "ETag": etag, "Vary": "Accept-Encoding"}
    if etag in (each.strip().removeprefix("W/") for each in asked.get("if-none-match", "").split(",")):
        return func.HttpResponse(status_code=304, headers=headers)
    if packed:
        headers["Content-Encoding"] = "gzip"
    return func.HttpResponse(packed or asset.body, headers=headers, mimetype=asset.mimetype, charset="utf-8")
