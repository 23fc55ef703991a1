"""Runs a page's application on this machine until Ctrl-C."""

import contextlib
import ipaddress
import os
import secrets
import socket
import sys
import webbrowser
from collections.abc import Callable
from importlib import resources
from typing import Any

from smidgen.errors import InputError, MissingPartError, SmidgenError

_HEADER_SECONDS = 10.0
_MOST_CONNECTIONS = 256
_LAST_PORT = 65535
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}


def make_app(title: str, *, page: str, openapi: bool = False) -> Any:
    """A FastAPI application that serves a page at `/`, its script and the style, and says errors as JSON.

    Args:
        title: of the API.
        page: the name of `pages/<page>.html` and `.js`.
        openapi: whether it describes itself at `/openapi.json`.
    """
    try:
        from fastapi import FastAPI, Request, Response
        from fastapi.exceptions import RequestValidationError
        from fastapi.responses import JSONResponse
        from starlette.exceptions import HTTPException
    except ImportError:
        raise MissingPartError("fastapi", "This page", "web") from None
    from smidgen import __version__

    app = FastAPI(
        title=title, version=__version__, docs_url=None, redoc_url=None,
        openapi_url="/openapi.json" if openapi else None,
    )  # fmt: skip

    def add_file(path: str, file: str) -> None:
        content = (resources.files("smidgen.web") / "pages" / file).read_bytes()
        media_type = _TYPES[os.path.splitext(file)[1]]  # noqa: PTH122 (a resource, not a path)
        app.get(path, include_in_schema=False)(lambda: Response(content, media_type=media_type))

    add_file("/", f"{page}.html")
    add_file(f"/{page}.js", f"{page}.js")
    add_file("/style.css", "style.css")

    @app.exception_handler(SmidgenError)
    async def say_error(request: Request, error: SmidgenError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 422 if isinstance(error, InputError) else 500)

    @app.exception_handler(HTTPException)
    async def say_refusal(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code)

    @app.exception_handler(RequestValidationError)
    async def say_mistake(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"error": f"{'.'.join(map(str, first['loc']))}: {first['msg']}."}, 422)

    return app


def run(app: Any, *, host: str, port: int, open_browser: bool, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C.

    Args:
        app: an ASGI application.
        host: the address to bind to; beyond this machine a token is asked for.
        port: 0 takes a free one.
        open_browser: show the page at once.
        say: told the address.

    Raises:
        InputError: the address or the port cannot be had.
    """
    import uvicorn

    from smidgen.web.guard import Guard

    if not 0 <= port <= _LAST_PORT:
        raise InputError(f"there is no port {port}", expected=f"0 (a free one) to {_LAST_PORT}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(
            f"{host}, port {port} cannot be served ({error})", expected="a free port of this machine"
        ) from None
    with listener:
        port = listener.getsockname()[1]
        token = "" if _is_loopback(host) else secrets.token_urlsafe(24)
        names = _names(host)
        shown = names[0]
        guarded = Guard(app, hosts=frozenset(f"{name}:{port}" for name in names), token=token)
        config = uvicorn.Config(
            guarded, http=_impatient_protocol(), ws="none", lifespan="off", log_level="warning", access_log=False,
            server_header=False, limit_concurrency=_MOST_CONNECTIONS, timeout_keep_alive=round(_HEADER_SECONDS),
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        address = f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
        say(address)
        if open_browser:
            webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):  # how a server ends
            uvicorn.Server(config).run(sockets=[listener])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _names(host: str) -> list[str]:
    """What the Host header may call this server; the first is for showing."""
    bare = f"[{host}]" if ":" in host else host
    if _is_loopback(host):
        return list(dict.fromkeys([bare, "127.0.0.1", "localhost", "[::1]"]))
    own = socket.gethostname()
    if host in ("0.0.0.0", "::"):
        return [own, *_own_addresses(own), "localhost", "127.0.0.1", "[::1]"]
    return [bare, own]


def _own_addresses(name: str) -> list[str]:
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(name, None)}
    except OSError:
        return []
    return [f"[{address}]" if ":" in address else address for address in sorted(found)]


def _impatient_protocol() -> Any:
    """HTTP/1.1 by h11 that closes connections whose request headers do not come."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class ImpatientProtocol(H11Protocol):
        _timer: Any = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._stop()

        def _watch(self) -> None:
            """Time the headers from the first byte on; a request whose headers are there is the guard's."""
            if self.conn.their_state is not h11.IDLE:
                self._stop()
            elif self._timer is None:
                self._timer = self.loop.call_later(_HEADER_SECONDS, self._close)

        def _stop(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _close(self) -> None:
            self._timer = None
            if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
                self.transport.close()

    return ImpatientProtocol


def wants_browser(asked_not_to: bool) -> bool:
    """Whether to open a browser: someone sits at a terminal and did not decline."""
    return not asked_not_to and sys.stderr.isatty()
