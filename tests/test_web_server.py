import socket
import sys
import time
from types import ModuleType
from urllib.parse import urlsplit

import httpx
import pytest

from smidgen.errors import InputError, MissingPartError
from smidgen.web import server
from tests.servers import serving

MODEL = "digits-on-garments"


def test_a_port_in_use(tmp_path):
    """Another program on the port ends with a clear word before anything is served."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError, match="cannot be served"):
        server.run(None, host="127.0.0.1", port=taken.getsockname()[1], open_browser=False, say=print)
    with pytest.raises(InputError, match="no port 99999"):
        server.run(None, host="127.0.0.1", port=99999, open_browser=False, say=print)


def test_beyond_this_machine_a_token_is_asked_for():
    """Bound to all addresses, the printed address works, and any other gets 401."""
    with serving("serve", MODEL, "--host", "0.0.0.0", "--no-browser") as (address, _):
        parts = urlsplit(address)
        base = f"http://127.0.0.1:{parts.port}"
        assert len(parts.query) > 30
        assert httpx.get(f"{base}/health").status_code == 401
        with httpx.Client(base_url=base) as client:
            assert client.get(f"/?{parts.query}").status_code == 200
            assert client.get("/playground.js").status_code == 200  # by the cookie
        token = {"authorization": f"Bearer {parts.query.removeprefix('token=')}"}
        assert httpx.get(f"{base}/health", headers=token).json() == {"status": "ok"}


def test_silent_and_slow_connections_are_closed(monkeypatch: pytest.MonkeyPatch):
    """A connection that says nothing or half a header, be it the second, is closed; others are served meanwhile."""
    code = (
        "import smidgen.web.server as s, smidgen.web.guard as g; s._HEADER_SECONDS = 1.0; g._BODY_SECONDS = 1.0;"
        "from smidgen.cli.main import main; main()"
    )
    import subprocess

    command = [sys.executable, "-c", code, "serve", MODEL, "--no-browser"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            parts = urlsplit(process.stderr.readline().split()[0])
            whole = f"GET /health HTTP/1.1\r\nhost: {parts.netloc}\r\n\r\n".encode()
            for start in (b"", b"GET /health HT", whole + b"GET /hea"):
                with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
                    connection.sendall(start)
                    received = b""
                    while part := connection.recv(1000):
                        received += part
                assert (b"200 OK" in received) == (start.startswith(whole))
            with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
                connection.sendall(whole[:-2] + b"content-length: 10\r\n\r\nab")
                received = b""
                while b'"ok"}' not in received:
                    received += connection.recv(1000)
                connection.sendall(b"c")  # what comes after the answer is dropped, and not waited for
                assert connection.recv(1000) == b""
            body = f"POST /denoise HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-length: 10\r\n\r\nabc".encode()
            with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
                connection.sendall(body)
                time.sleep(0.2)
                assert httpx.get(f"http://{parts.netloc}/health").status_code == 200
                assert b" 408 " in connection.recv(1000).split(b"\r\n")[0]
        finally:
            process.terminate()


def test_errors_are_one_sentence():
    """An unknown path and a wrong method answer as every other error does."""
    with serving("serve", MODEL, "--no-browser") as (address, _):
        for method, path, status in (
            ("GET", "nothing", 404),
            ("DELETE", "health", 405),
            ("GET", "../../etc/passwd", 404),
        ):
            answer = httpx.request(method, address + path)
            assert (answer.status_code, set(answer.json())) == (status, {"error"})


def test_without_the_web_part(monkeypatch: pytest.MonkeyPatch):
    """Without the packages for pages the error says what to install."""
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(MissingPartError, match=r"smidgen\[web\]"):
        server.make_app("a page", page="reading")
    assert isinstance(server, ModuleType)
