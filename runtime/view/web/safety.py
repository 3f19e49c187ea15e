"""Who is let in, and what the browser must refuse: Host, token and cookie, requests of other sites, headers of every answer."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from dataclasses import dataclass, field
from urllib.parse import urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wsra.runtime.view.web.streams import Json

MOST_BODY = 65_536  # bytes of a POST: nothing is uploaded
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; form-action 'none';"
    " base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_STRANGER = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>wsra view</title>"
    "<p>This page needs the address with the token that <code>wsra view</code> printed when it started. Open that address once; if you have"
    " opened it in this browser before, reload this page.</p></html>"
)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True)
class Address:
    """Where the page is served.

    Attributes:
        host: the address that was bound, as the user gave it.
        port: its port.
        token: what who comes from another machine must know; None where only this machine can reach the address.
    """

    host: str
    port: int
    token: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """What to open in a browser, with the token; of an address that stands for all, by this machine's name."""
        host = socket.gethostname() if is_wildcard(self.host) else _bracketed(self.host)
        return f"http://{host}:{self.port}/{'' if self.token is None else f'?token={self.token}'}"

    def serves(self, host: str) -> bool:
        """Whether a Host header names this page. A name of somebody else's that leads here (DNS rebinding) does not.

        An address that stands for all of this machine's is called by any of them as numbers, or by the machine's name.
        """
        name, colon, port = host.lower().rpartition(":")
        if not colon or not port.isdecimal():
            name, port = host.lower(), "80"
        if port != str(self.port):
            return False
        if name in _LOOPBACK or name == _bracketed(self.host).lower():
            return True
        if not is_wildcard(self.host):
            return False
        machine = socket.gethostname().lower()
        return name in (machine, f"{machine}.local") or _ip(name.strip("[]")) is not None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address, given as numbers."""
    address = _ip(host)
    return address is not None and address.is_loopback


def is_wildcard(host: str) -> bool:
    """Whether an address stands for all addresses of this machine."""
    address = _ip(host)
    return address is not None and address.is_unspecified


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class Safety:
    """What stands before every route.

    Args (constructor):
        app: what answers who is let in.
        address: where the page is served.
    """

    def __init__(self, app: ASGIApp, address: Address) -> None:
        self._app, self._address = app, address
        self._cookie = f"wsra-{address.port}"  # a browser sends the cookies of one port to all others of the machine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            refused = self._refused(Request(scope))
            await (self._app if refused is None else refused)(scope, receive, _with_headers(send))
        else:
            await send({"type": "websocket.close"})

    def _refused(self, request: Request) -> Response | None:
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self._address.serves(hosts[0]):
            given = repr(hosts[0]) if hosts else "missing"
            return _refusal(421, f"the Host header is {given}; open this page at the address that wsra view printed")
        return self._stranger(request) or _foreign(request.method, request.scope["path"], request.headers, hosts[0])

    def _stranger(self, request: Request) -> Response | None:
        """A request without the token or its cookie; and the answer that makes a cookie of the token."""
        token = self._address.token
        if token is None:
            return None
        if request.scope["path"] == "/" and "token" in request.query_params:
            if _same(request.query_params["token"], token):
                rest = urlencode([pair for pair in request.query_params.multi_items() if pair[0] != "token"])
                welcome = RedirectResponse(f"/?{rest}" if rest else "/", 303)
                welcome.set_cookie(self._cookie, token, path="/", httponly=True, samesite="strict")
                return welcome
        elif _same(request.cookies.get(self._cookie, ""), token):
            return None
        if request.scope["path"] == "/":
            return HTMLResponse(_STRANGER, 401)
        return _refusal(401, "this needs the cookie of the page; open the address with the token that wsra view printed")


def _refusal(status: int, message: str) -> Response:
    """An error as the page shows it: one sentence."""
    return Json({"message": message}, status)


def _same(given: str, token: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _foreign(method: str, path: str, headers: Headers, host: str) -> Response | None:
    """A request that the page of another site made: of what is read, only the page itself may be opened from there."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if method in ("GET", "HEAD"):
        if path != "/" and site in ("cross-site", "same-site"):
            return _refusal(403, "another site asked for this; open it from the page of wsra view")
        return None
    if site not in (None, "same-origin") or origin not in (None, f"http://{host}"):
        return _refusal(403, "another site sent this; only the page of wsra view itself may")
    if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        return _refusal(415, "expected Content-Type: application/json")
    if not headers.get("content-length", "").isdecimal():
        return _refusal(411, "expected a Content-Length")
    if int(headers["content-length"]) > MOST_BODY:
        return _refusal(413, f"expected at most {MOST_BODY} bytes; nothing is uploaded here")
    return None


def _with_headers(send: Send) -> Send:
    """Every answer with the headers of this page; nothing is kept by the browser unless the answer says so itself."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sent
