"""Who is let in: Host, token and cookie, other sites, traversal; and the headers of every answer."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

httpx = pytest.importorskip("httpx")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("av")
from pages import PATIENCE_S, page_over, write_archive  # noqa: E402

from wsra.runtime.view.running import Running  # noqa: E402
from wsra.runtime.view.web import connections  # noqa: E402
from wsra.runtime.view.web.safety import Address  # noqa: E402

pytestmark = pytest.mark.device
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; form-action 'none';"
    " base-uri 'none'; frame-ancestors 'none'"
)
SECRET = "outside of the opened folder"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    archive, bundle = write_archive(tmp_path_factory.mktemp("safety"))
    (archive.parent / "secret.txt").write_text(SECRET)
    return archive, bundle


@pytest.fixture(scope="module")
def opened(archive: tuple[Path, Path]) -> Iterator[tuple[Running, Any]]:
    with page_over([archive[0]], archive[1]) as page:
        yield page


@pytest.fixture(scope="module")
def guarded(archive: tuple[Path, Path]) -> Iterator[tuple[Running, Any]]:
    """A page that other machines can reach."""
    with page_over([archive[0]], archive[1], host="0.0.0.0") as page:
        yield page


def raw(port: int, target: str, headers: list[tuple[str, str]], method: str = "GET") -> http.client.HTTPResponse:
    """The answer to a request that is sent as it stands; the body is read."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_this_machine_is_served(opened: tuple[Running, Any], host: str) -> None:
    port = opened[0].address.port
    assert raw(port, "/api/archive", [("Host", f"{host}:{port}")]).status == 200


@pytest.mark.parametrize(
    "hosts",
    [
        ["evil.example:{port}"], ["127.0.0.1.evil.example:{port}"], ["127.0.0.1"], ["127.0.0.1:1"], ["192.168.0.7:{port}"], [""], [],
        ["127.0.0.1:{port}", "evil.example"], ["evil.example@127.0.0.1:{port}"], ["[::2]:{port}"], ["127.0.0.1:{port}:{port}"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("target", ["/", "/api/archive", "/static/index.html", "/media/v000000000000"])
def test_another_host_is_refused(opened: tuple[Running, Any], hosts: list[str], target: str) -> None:
    port = opened[0].address.port
    answer = raw(port, target, [("Host", host.format(port=port)) for host in hosts])
    assert answer.status in (400, 421) and b"wsra view</title>" not in answer.body  # type: ignore[attr-defined]
    if answer.status == 421:
        assert answer.getheader("Content-Security-Policy") == POLICY


@pytest.mark.parametrize("path", ["/", "/api/archive", "/api/ask", "/nothing", "/media/v000000000000", "/static/../x", "/api/ask?q=bus"])
def test_every_answer_has_the_headers_and_none_shares_with_other_sites(opened: tuple[Running, Any], path: str) -> None:
    answer = opened[1].get(path, headers={"Origin": "http://evil.example"})
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert not [name for name in answer.headers if name.startswith("access-control-")] and "server" not in answer.headers
    if path.startswith("/api"):
        assert answer.headers["cache-control"] == "no-store"


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (JSON, 202),
        (JSON | {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}, 202),
        (JSON | {"Origin": "http://evil.example"}, 403),
        (JSON | {"Origin": "http://localhost:{port}"}, 403),
        (JSON | {"Origin": "https://127.0.0.1:{port}"}, 403),
        (JSON | {"Origin": "null"}, 403),
        (JSON | {"Sec-Fetch-Site": "cross-site"}, 403),
        (JSON | {"Sec-Fetch-Site": "same-site"}, 403),
        (JSON | {"Sec-Fetch-Site": "none"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({}, 415),
    ],
)
def test_only_the_page_itself_may_post(opened: tuple[Running, Any], headers: dict[str, str], status: int) -> None:
    page, client = opened
    folders = client.get("/api/archive").json()["folders"]
    (north,) = [folder["id"] for folder in folders if folder["name"].endswith("north")]
    headers = {name: value.format(port=page.address.port) for name, value in headers.items()}
    answer = client.post("/api/jobs", content=f'{{"folder": "{north}"}}', headers=headers)
    assert answer.status_code == status and ("message" in answer.json() or answer.json() == {"added": 0})


def test_nothing_is_uploaded(opened: tuple[Running, Any]) -> None:
    client = opened[1]
    assert client.post("/api/jobs", content=b" " * 65_537, headers=JSON).status_code == 413
    assert client.post("/api/jobs", content=iter([b"{}"]), headers=JSON).status_code == 411
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert client.request(method, "/api/jobs", content=b"{}", headers=JSON).status_code == 405


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_may_open_the_page_but_fetch_nothing(opened: tuple[Running, Any], site: str) -> None:
    client, headers = opened[1], {"Sec-Fetch-Site": site}
    for path in ("/api/archive", "/api/ask?q=bus", "/api/report?q=bus", "/media/v000000000000", "/static/index.html"):
        assert client.get(path, headers=headers).status_code == 403
    assert client.get("/", headers=headers).status_code == client.get("/").status_code
    assert client.get("/api/archive", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: ", b"GET /nothing HTTP/1.0\r\n\r\n"], ids=["silent", "slow", "refused"])
def test_a_connection_without_a_request_is_closed(archive: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    """Whoever opens many and says nothing would keep all others out, without a token."""
    made: list[Any] = []
    connection_made = connections.Connection.connection_made

    def noted(connection: Any, transport: Any) -> None:
        made.append(connection)
        connection_made(connection, transport)

    monkeypatch.setattr(connections.Connection, "connection_made", noted)
    with page_over([archive[0]], archive[1]) as (page, client), client.stream("GET", "/api/jobs") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "event: jobs"
        with monkeypatch.context() as patch:
            patch.setattr(connections, "REQUEST_S", 0.2)
            with socket.create_connection(("127.0.0.1", page.address.port), timeout=PATIENCE_S) as silent:
                silent.sendall(begun)
                while silent.recv(4096):
                    pass
        made[0].loop.call_soon_threadsafe(made[0]._close_if_silent)  # as if the time of the stream's own connection were over
        assert client.post("/api/jobs/cancel", json={}).status_code == 200
        assert next(lines).startswith("data: ") and next(lines) == ""
        assert next(lines) == "event: jobs"  # what is being answered goes on, and tells that there is news


TRAVERSALS = [
    "/static/../secret.txt", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/%2fetc%2fpasswd",
    "/static/..\\app.py", "/static/index.html%00.js", "/static/.", "/static/", "/../../secret.txt", "//etc/passwd",
    "/media/../secret.txt", "/media/..%2fsecret.txt", "/media/..%2f..%2fsecret.txt",
    "/media/%2e%2e%2fsecret.txt", "/media/../../etc/passwd",
    "/media/%2fetc%2fpasswd", "/media/yard.mp4", "/media/yard.feat", "/media/{archive}/yard.mp4", "/media/{quoted}",
    "/media/broken.feat/info",
    "/media/..%2fsecret.txt/info", "/media/..%2fsecret.txt/still.jpg?t=0", "/media/..%2fsecret.txt/excerpt?start=0&end=1",
    "/media/..%2fsecret.txt/boxes?track=0", "/media/excerpts/..%2f..%2fsecret.txt", "/media/excerpts/..%2fx.mp4",
    "/media/v%00", "/media/v0%0a",
    "/api/ask?q=x&camera=../secret.txt", "/api/report?q=x&camera={quoted}", "/api/playlist?q=x&kind=../../secret.txt",
]  # fmt: skip


@pytest.mark.parametrize("target", TRAVERSALS)
def test_a_path_is_no_id(opened: tuple[Running, Any], archive: tuple[Path, Path], target: str) -> None:
    port, place = opened[0].address.port, archive[0].as_posix()
    target = target.format(archive=place, quoted=f"{place}/yard.mp4".replace("/", "%2f"))
    answer = raw(port, target, [("Host", f"127.0.0.1:{port}")])
    assert answer.status in (400, 404), target
    body = answer.body  # type: ignore[attr-defined]
    assert SECRET.encode() not in body and b"root:" not in body and b"ftyp" not in body[:64]


def test_a_page_for_other_machines_needs_its_token(guarded: tuple[Running, Any]) -> None:
    page, client = guarded
    port, token = page.address.port, page.address.token
    assert token is not None and len(token) > 40 and token not in repr(page.address)
    assert page.address.url == f"http://{socket.gethostname()}:{port}/?token={token}"
    stranger = client.get("/")
    assert stranger.status_code == 401 and "<code>wsra view</code>" in stranger.text and "script" not in stranger.text
    for path in ("/api/archive", "/api/ask?q=bus", "/static/index.html", "/media/v000000000000", f"/api/archive?token={token}"):
        assert client.get(path).status_code == 401
    for wrong in ("", token[:-1], token + "x", "é", token.swapcase()):
        answer = client.get("/", params={"token": wrong})
        assert answer.status_code == 401 and "set-cookie" not in answer.headers
    assert client.get("/api/archive", headers={"Cookie": f"wsra-{port}={token[:-1]}"}).status_code == 401
    assert client.post("/api/jobs", json={"folder": "d"}).status_code == 401

    welcome = client.get("/", params={"token": token, "q": "a bus & <b>"})
    assert welcome.status_code == 303 and welcome.headers["location"] == "/?q=a+bus+%26+%3Cb%3E"
    cookie = welcome.headers["set-cookie"].lower()
    assert cookie.startswith(f"wsra-{port}=") and "httponly" in cookie and "samesite=strict" in cookie and "path=/" in cookie
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", cookies=welcome.cookies, timeout=PATIENCE_S) as known:
        assert known.get("/api/archive").status_code == 200
        assert known.get("/").status_code == client.get("/", headers={"Cookie": f"wsra-{port}={token}"}).status_code != 401
    client.cookies.clear()


def test_a_page_of_all_addresses_is_called_by_numbers_or_by_the_name_of_the_machine(guarded: tuple[Running, Any]) -> None:
    port, token = guarded[0].address.port, guarded[0].address.token
    machine = socket.gethostname()
    ours = [f"192.168.0.7:{port}", f"{machine}:{port}", f"{machine}.local:{port}"]
    for host, status in [*((host, 200) for host in ours), ("192.168.0.7", 421), (f"evil.example:{port}", 421)]:
        assert raw(port, "/api/archive", [("Host", host), ("Cookie", f"wsra-{port}={token}")]).status == status


def test_port_80_needs_no_number() -> None:
    assert Address("127.0.0.1", 80).serves("localhost") and Address("127.0.0.1", 80).serves("[::1]:80")
    assert not Address("127.0.0.1", 8730).serves("localhost") and not Address("127.0.0.1", 80).serves("[::1]:81")
    assert Address("::", 80).serves("[fe80::1]") and not Address("::1", 80).serves("[fe80::1]")
