"""What stands before every page's handlers: strange hosts, other sites, large and slow bodies end here."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

MOST_BYTES = 16 * 2**20
_MOST_BYTES_HELD = 128 * 2**20  # by all requests under way
_MOST_BYTES_DRAINED = 64 * 2**20
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


class RefusedError(Exception):
    """A request that is not let through."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Guard:
    """An ASGI application around another; it holds each body whole before handing it on."""

    def __init__(self, app: App, *, hosts: frozenset[str], token: str = "", cookie: str = "smidgen-token") -> None:
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
        self._held = 0
        self._under_way: set[Any] = set()

    def end(self) -> None:
        """Give up all requests under way; those without an answer are told so."""
        for task in self._under_way:
            task.cancel()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        task = asyncio.current_task()
        self._under_way.add(task)
        try:
            await self._handle(scope, receive, answer)
        except asyncio.CancelledError:
            if not begun:
                await _refuse(send, RefusedError(503, "The server is ending."))
        finally:
            self._under_way.discard(task)

    async def _handle(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        body = _Body(receive)
        try:
            cookie = self._check(scope, headers)
            if scope["path"] == _ALWAYS_ANSWERED:
                await self._app(scope, receive, _with_headers(send, cookie))
                return
            if len(self._under_way) > _MOST_UNDER_WAY:
                raise RefusedError(503, "The server is busy. Try again.")
            content = await asyncio.wait_for(self._hold(body, headers), _BODY_SECONDS)
        except TimeoutError:
            await _refuse(send, RefusedError(408, f"The body did not come within {_BODY_SECONDS:.0f} seconds."))
        except RefusedError as refusal:
            self._release(body)
            # Closing on a client that still sends would reset the connection before it reads the answer.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(body.drain(), _BODY_SECONDS)
            await _refuse(send, refusal)
        else:
            await self._app(scope, _replay(content, receive), _with_headers(send, cookie))
        finally:
            self._release(body)

    def _release(self, body: "_Body") -> None:
        self._held -= body.held
        body.held = 0
        body.parts.clear()

    async def _hold(self, body: "_Body", headers: dict[str, str]) -> bytes:
        """All of a body, as long as it is not too large by itself or together with all others."""
        too_large = RefusedError(413, f"The body is too large. Expected at most {MOST_BYTES:,} bytes.")
        announced = headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > MOST_BYTES:
            raise too_large
        while not body.ended:
            part = await body.next_part()
            if body.held + len(part) > MOST_BYTES:
                raise too_large
            if part and self._held + len(part) > _MOST_BYTES_HELD:
                raise RefusedError(503, "The server is busy. Try again.")
            body.held += len(part)
            self._held += len(part)
            body.parts.append(part)
        content = b"".join(body.parts)
        body.parts.clear()
        return content

    def _check(self, scope: Message, headers: dict[str, str]) -> str:
        """Let a request through, with the cookie to set, or raise."""
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            raise RefusedError(421, "The Host header names another server.")
        origin = headers.get("origin")
        foreign = origin is not None and _host_of(origin) != host
        if scope["method"] not in _SAFE_METHODS and (
            foreign or headers.get("sec-fetch-site") in ("cross-site", "same-site")
        ):
            raise RefusedError(403, "Requests from pages of other sites are refused.")
        if not self._token:
            return ""
        query = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if any(secrets.compare_digest(found.encode(), self._token.encode()) for found in (bearer, self._kept(headers))):
            return ""
        if secrets.compare_digest(query.encode(), self._token.encode()):
            return f"{self._cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"
        raise RefusedError(401, "The token is missing or wrong. Open the address as it was printed.")

    def _kept(self, headers: dict[str, str]) -> str:
        """The token that a browser keeps."""
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return found.value if found else ""


class _Body:
    """The body of a request as it comes in; `held` counts the bytes of it that are kept, first in `parts`."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self.ended, self.held = receive, False, 0
        self.parts: list[bytes] = []

    async def next_part(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.ended = True
            raise RefusedError(400, "The body ended early.")
        self.ended = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part

    async def drain(self) -> None:
        """Read what is still coming, within reason, and forget it."""
        left = _MOST_BYTES_DRAINED
        while not self.ended and left > 0:
            with contextlib.suppress(RefusedError):
                left -= len(await self.next_part())


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hand on a body that was read before; then what comes after it."""
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again


def _with_headers(send: Send, cookie: str) -> Send:
    extra = _HEADERS | ({"set-cookie": cookie} if cookie else {})

    async def forward(message: Message) -> None:
        if message["type"] == "http.response.start":
            pairs = [(name.encode(), value.encode("latin-1")) for name, value in extra.items()]
            message = {**message, "headers": [*message.get("headers", []), *pairs]}
        await send(message)

    return forward


async def _refuse(send: Send, refusal: RefusedError) -> None:
    """Answer and close the connection, since the rest of the body was not read."""
    body = json.dumps({"error": str(refusal)}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    forward = _with_headers(send, "")
    await forward({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await forward({"type": "http.response.body", "body": body})


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin.lower()).netloc
    except ValueError:  # no address at all
        return ""
