import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi import Request, Response

from smidgen.web import guard
from smidgen.web.guard import Guard

HOST = "127.0.0.1:80"


def ask(
    method: str = "POST",
    *,
    headers: dict[str, str] | None = None,
    query: str = "",
    token: str = "",
    parts: Iterable[bytes] = (b"body",),
    stall: bool = False,
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and the body that the guarded application got, or the refusal."""

    async def application(scope, receive, send):
        body = await Request(scope, receive).body()
        await Response(body)(scope, receive, send)

    waiting = list(parts)
    sent: list[dict] = []

    async def receive():
        if stall:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message):
        sent.append(message)

    pairs = [(name.encode(), value.encode()) for name, value in ({"host": HOST} | (headers or {})).items()]
    scope = {"type": "http", "method": method, "path": "/denoise", "headers": pairs, "query_string": query.encode()}
    guarded = Guard(application, hosts=frozenset({HOST, "LocalHost:80"}), token=token)
    # In a thread of its own: the browser of other tests keeps a loop in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(guarded(scope, receive, send))).result()
    answered = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, sent[1]["body"]


def test_hands_on_whole_bodies_and_adds_safe_headers():
    """A body in parts arrives whole; the answer forbids foreign scripts, frames and guessed types."""
    status, headers, body = ask(parts=(b"one ", b"two"))
    assert (status, body) == (200, b"one two")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": ""}, 421),
        ({"host": "LOCALHOST:80", "origin": "http://LocalHost:80"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),
        ({"origin": "http://127.0.0.1:81"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": f"http://{HOST}", "sec-fetch-site": "same-origin"}, 200),
        ({}, 200),
    ],
    ids=str,
)
def test_other_sites_are_refused(headers: dict[str, str], status: int):
    """A rebound DNS name and a page of another site get nowhere; our own page and programs do."""
    assert ask(headers=headers)[0] == status


def test_a_token_is_asked_for_and_remembered():
    """Beyond this machine: no token, 401; in the address, a cookie is set; cookie or bearer, let through."""
    assert ask("GET", token="secret")[0] == 401
    assert ask("GET", token="secret", query="token=wrong")[0] == 401
    status, headers, _ = ask("GET", token="secret", query="token=secret")
    assert status == 200
    assert "HttpOnly; SameSite=Strict" in headers["set-cookie"]
    assert ask("GET", token="secret", headers={"cookie": headers["set-cookie"].split(";")[0]})[0] == 200
    assert ask("GET", token="secret", headers={"authorization": "Bearer secret"})[0] == 200
    assert ask("GET", token="secret", headers={"authorization": "Bearer ", "cookie": "smidgen-token="})[0] == 401


def test_large_bodies_are_refused():
    """Too many bytes, announced or not, end with 413 before they are all read."""
    assert ask(headers={"content-length": str(guard.MOST_BYTES + 1)})[0] == 413
    assert ask(parts=[bytes(2**20)] * 34)[0] == 413


def test_slow_bodies_are_refused(monkeypatch: pytest.MonkeyPatch):
    """A body that does not come ends with 408."""
    monkeypatch.setattr(guard, "_BODY_SECONDS", 0.05)
    assert ask(stall=True)[0] == 408
