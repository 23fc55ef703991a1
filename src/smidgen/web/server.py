"""Runs a page's application on this machine until Ctrl-C."""

import contextlib
import ctypes
import gc
import hashlib
import ipaddress
import logging
import secrets
import socket
import sys
import webbrowser
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from smidgen.errors import InputError, MissingPartError, SmidgenError
from smidgen.files import read_shared
from smidgen.model.runtime import MODEL_FILE

_HEADER_SECONDS, _ANSWER_SECONDS = 10.0, 30.0
_TURN_SECONDS = 5e-4  # of a thread, where others wait: usually ten times as long, which adds up on a picture's way
# Freed pieces of memory from this size on go back to the system, as glibc would learn not to do.
_MMAP_THRESHOLD, _PIECE_BYTES = -3, 2**18
_GRACE_SECONDS = 1  # told to end, the server gives requests under way so long to be done
_USUAL_PORT, _HTTP_PORT, _LAST_PORT = 8000, 80, 65535
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


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

    def add_file(path: str, file: str, content: str) -> None:
        media_type = _TYPES[Path(file).suffix]
        app.get(path, include_in_schema=False)(lambda: Response(content, media_type=media_type))

    own = resources.files("smidgen.web") / "pages"
    add_file("/", f"{page}.html", (own / f"{page}.html").read_text(encoding="utf-8"))
    for file in (f"{page}.js", "page.js"):
        add_file(f"/{file}", file, (own / file).read_text(encoding="utf-8"))
    for file in ("view.js", "style.css"):
        add_file(f"/{file}", file, read_shared(file))

    @app.exception_handler(SmidgenError)
    async def say_error(request: Request, error: SmidgenError) -> JSONResponse:
        if not isinstance(error, InputError):
            print(f"smidgen: {error}", file=sys.stderr)  # it may name a path, which is not for the page
            return JSONResponse({"error": "The server could not do that; its terminal says why."}, 500)
        return JSONResponse({"error": str(error)}, 422)

    @app.exception_handler(HTTPException)
    async def say_refusal(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def say_mistake(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"error": f"{'.'.join(map(str, first['loc']))}: {first['msg']}."}, 422)

    return app


def run(app: Any, *, host: str, port: int | None, open_browser: bool, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C.

    Args:
        app: an ASGI application.
        host: the address to bind to; beyond this machine a token is asked for.
        port: 0 takes a free one; None takes the usual one, or a free one where that is taken.
        open_browser: show the page at once.
        say: told the address.

    Raises:
        InputError: the address or the port cannot be had.
    """
    import uvicorn

    from smidgen.web.guard import Guard

    sys.setswitchinterval(_TURN_SECONDS)
    gc.freeze()  # so that collecting what is left of a large picture takes no time
    with contextlib.suppress(AttributeError, OSError, TypeError):  # other systems than Linux with glibc
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _PIECE_BYTES)
    with _listen(host, port) as listener:
        port = listener.getsockname()[1]
        token = "" if _is_loopback(host) else secrets.token_urlsafe(24)
        names = _names(host)
        shown = names[0]
        hosts = {f"{name}:{port}" for name in names} | (set(names) if port == _HTTP_PORT else set())
        guarded = Guard(app, hosts=frozenset(hosts), token=token, cookie=f"smidgen-token-{port}")
        config = uvicorn.Config(
            guarded, http=_impatient_protocol(), ws="none", lifespan="off", log_level="warning", access_log=False,
            server_header=False, timeout_keep_alive=round(_HEADER_SECONDS), timeout_graceful_shutdown=_GRACE_SECONDS,
        )  # fmt: skip
        # Of the requests that it gives up uvicorn would tell the terminal; the guard tells who asked.
        logging.getLogger("uvicorn.error").addFilter(lambda record: "graceful shutdown" not in record.getMessage())
        address = f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
        say(address)
        if open_browser:
            webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):  # how a server ends
            uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int | None) -> socket.socket:
    """A listening socket.

    Raises:
        InputError: the address or the port cannot be had.
    """
    if port is None:
        try:
            return _listen(host, _USUAL_PORT)
        except InputError:
            return _listen(host, 0)
    if not host:
        raise InputError("the address is empty", expected="one of this machine, as 127.0.0.1")
    if not 0 <= port <= _LAST_PORT:
        raise InputError(f"there is no port {port}", expected=f"0 (a free one) to {_LAST_PORT}")
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise InputError(
            f"{host}, port {port} cannot be served ({error})", expected="a free port of this machine"
        ) from None
    # Connections inherit it. Without it the body of each answer waits 40 ms for its headers to be acknowledged.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


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
    if host in ("0.0.0.0", "::"):  # noqa: S104 (it is only compared)
        return [own, *_own_addresses(own), "localhost", "127.0.0.1", "[::1]"]
    return [bare, own]


def _own_addresses(name: str) -> list[str]:
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(name, None)}
    except OSError:
        return []
    return [f"[{address}]" if ":" in address else address for address in sorted(found)]


def _impatient_protocol() -> Any:
    """HTTP/1.1 by h11 that closes connections whose headers do not come or whose answers are not read.

    Uvicorn itself limits the time between an answer and the next request, the size of headers, and nothing else.
    """
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class ImpatientProtocol(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            self._timers: dict[Callable[[], None], Any] = {}
            super().connection_made(transport)
            self._limit(True, _HEADER_SECONDS, transport.close)

        def data_received(self, data: bytes) -> None:
            """Time headers from the first byte on, and the rest of a body that has its answer already."""
            super().data_received(data)
            waits = self.conn.their_state is h11.IDLE or self.conn.our_state is h11.DONE
            self._limit(waits, _HEADER_SECONDS, self.transport.close)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            for end in list(self._timers):
                self._limit(False, 0, end)

        def pause_writing(self) -> None:
            """The client reads too slowly; where it stops, its answer is not kept for ever."""
            super().pause_writing()
            self._limit(True, _ANSWER_SECONDS, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._limit(False, 0, self.transport.abort)

        def _limit(self, waits: bool, seconds: float, end: Callable[[], None]) -> None:
            """Let the connection end in one way once it has waited for so long."""
            if waits and end not in self._timers:
                self._timers[end] = self.loop.call_later(seconds, end)
            elif not waits and end in self._timers:
                self._timers.pop(end).cancel()

    return ImpatientProtocol


def wants_browser(asked_not_to: bool) -> bool:
    """Whether to open a browser: someone sits at a terminal and did not decline."""
    return not asked_not_to and sys.stderr.isatty()


def title_of(model: Path) -> str:
    """What pages call a model file: no path of this machine."""
    path = model.resolve()
    return path.parent.name if path.name == MODEL_FILE else path.stem


def hash_content(content: bytes) -> str:
    """A short hash that tells one model file from another."""
    return hashlib.sha256(content).hexdigest()[:16]
