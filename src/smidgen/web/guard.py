"""What stands before every page's handlers: strange hosts, other sites, large and slow bodies end here."""

import asyncio
import secrets

from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 32 * 2**20
_MOST_BYTES_HELD = 128 * 2**20  # by all requests under way
_BODY_SECONDS = 10.0
_MOST_UNDER_WAY = 256
_ALWAYS_ANSWERED = "/health"  # however much else is under way
_SAFE_METHODS = ("GET", "HEAD")
# Scripts, styles and pictures come from this server only; no other page may frame this one.
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """An ASGI application around another.

    Starlette's middlewares for hosts and bodies, and uvicorn's limit on requests under way, would answer in plain
    text where the API promises JSON, let any port pass, count each body alone, and refuse `/health` too.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], token: str = "", cookie: str = "smidgen-token") -> None:
        """Wrap an application.

        Args:
            app: what to guard.
            hosts: values of the Host header that mean this server. A name that a stranger's DNS points
                here is none of them.
            token: what a browser must bring in the address once, or a program in each request; "" asks for none.
            cookie: the name of the cookie that keeps it; servers on other ports of this machine need others.
        """
        self._app, self._token, self._cookie = app, token, cookie
        self._hosts = frozenset(host.lower() for host in hosts)
        self._held = self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        extra, begun, ended, held = dict(_HEADERS), False, False, 0
        until = asyncio.get_running_loop().time() + _BODY_SECONDS

        async def take() -> Message:
            """The next part of the body, counted until the request has its answer."""
            nonlocal ended, held
            if ended:
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                reason = f"The body did not come within {_BODY_SECONDS:.0f} seconds."
                raise HTTPException(408, reason, {"connection": "close"}) from None
            if message["type"] == "http.disconnect":
                raise HTTPException(400, "The body ended early.")
            number = len(message.get("body", b""))
            if held + number > MOST_BYTES:
                raise _too_large()
            if number and self._held + number > _MOST_BYTES_HELD:
                raise _busy()
            held += number
            self._held += number
            ended = not message.get("more_body", False)
            return message

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message).update(extra)
            await send(message)

        self._under_way += 1
        try:
            self._check(Request(scope), extra)
            await self._app(scope, take, answer)
        except HTTPException as refusal:
            response = JSONResponse({"error": refusal.detail}, refusal.status_code, refusal.headers)
            await response(scope, receive, answer)
        except asyncio.CancelledError:  # so uvicorn ends what is under way
            if not begun:
                await JSONResponse({"error": "The server is ending."}, 503)(scope, receive, answer)
        finally:
            self._under_way -= 1
            self._held -= held

    def _check(self, request: Request, extra: dict[str, str]) -> None:
        """Let a request through, with a cookie added to the headers of its answer where it is to be set, or raise."""
        headers = request.headers
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            raise HTTPException(421, "The Host header names another server.")
        foreign = "origin" in headers and headers["origin"].lower().partition("://")[2] != host
        if request.method not in _SAFE_METHODS and (
            foreign or headers.get("sec-fetch-site") in ("cross-site", "same-site")
        ):
            raise HTTPException(403, "Requests from pages of other sites are refused.")
        if self._token:
            bearer = headers.get("authorization", "").removeprefix("Bearer ")
            if self._fits(request.query_params.get("token", "")):
                extra["set-cookie"] = f"{self._cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"
            elif not (self._fits(bearer) or self._fits(request.cookies.get(self._cookie, ""))):
                raise HTTPException(401, "The token is missing or wrong. Open the address as it was printed.")
        if self._under_way > _MOST_UNDER_WAY and request.scope["path"] != _ALWAYS_ANSWERED:
            raise _busy()
        if int(headers.get("content-length", "0")) > MOST_BYTES:
            raise _too_large()

    def _fits(self, token: str) -> bool:
        return secrets.compare_digest(token.encode(), self._token.encode())


def _busy() -> HTTPException:
    return HTTPException(503, "The server is busy. Try again.")


def _too_large() -> HTTPException:
    return HTTPException(413, f"The body is too large. Expected at most {MOST_BYTES:,} bytes.")
