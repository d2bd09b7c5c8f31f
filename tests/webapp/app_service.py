"""A stand-in for App Service authentication, in front of a host: sessions in a cookie, principals in headers.

As documented (learn.microsoft.com/azure/app-service: "Customize sign-ins and sign-outs", "Work with user identities"):
requests without a session are refused except for excluded paths; the headers of principals are set here and removed
from what callers send; a POST with the session that comes from another site is refused with 403.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

COOKIE = "AppServiceAuthSession"
_EXCLUDED = ("/api/health", "/api/openapi.json", "/api/app", "/api/app/")
_NOT_PASSED_ON = frozenset({"host", "cookie", "content-length", "transfer-encoding", "content-encoding", "connection"})


@asynccontextmanager
async def authentication(host: str, claims: dict[str, str]) -> AsyncIterator[str]:
    """Yield the address of the app behind the authentication, where whoever signs in has these claims."""
    principal = {"auth_typ": "aad", "claims": [{"typ": name, "val": value} for name, value in claims.items()]}
    named = {
        "X-MS-CLIENT-PRINCIPAL": base64.b64encode(json.dumps(principal).encode()).decode(),
        "X-MS-CLIENT-PRINCIPAL-NAME": claims["preferred_username"],
    }

    async def answer(request: web.Request) -> web.StreamResponse:
        path, signed_in = request.path, request.cookies.get(COOKIE) == "session"
        if path == "/.auth/login/aad":
            found = web.Response(status=302, headers={"Location": request.query["post_login_redirect_uri"]})
            found.set_cookie(COOKIE, "session", httponly=True)
            return found
        if path == "/.auth/logout":
            found = web.Response(status=302, headers={"Location": request.query["post_logout_redirect_uri"]})
            found.del_cookie(COOKIE)
            return found
        if not signed_in and path not in _EXCLUDED and not path.startswith("/api/app/"):
            return web.Response(status=401, headers={"WWW-Authenticate": f'Bearer realm="{request.host}"'})
        origin = request.headers.get("Origin", "")
        if signed_in and request.method == "POST" and urlsplit(origin).netloc != request.host:
            return web.Response(status=403)
        return await passed_on(request, signed_in)

    async def passed_on(request: web.Request, signed_in: bool) -> web.StreamResponse:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _NOT_PASSED_ON | {"origin"} and not name.lower().startswith("x-ms-client-principal")
        }
        async with http.request(
            request.method,
            f"{host}{request.path_qs}",
            data=await request.read(),
            headers=headers | (named if signed_in else {}),
        ) as got:
            kept = {name: value for name, value in got.headers.items() if name.lower() not in _NOT_PASSED_ON}
            return web.Response(body=await got.read(), status=got.status, headers=kept)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    async with aiohttp.ClientSession() as http:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            [(address, port)] = runner.addresses
            yield f"http://{address}:{port}"
        finally:
            await runner.cleanup()
