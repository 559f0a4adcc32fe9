"""The one look of all pages that people see at a stand-in: plain HTML, no script, and no doubt that it is none."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.responses import HTMLResponse, Response

STYLE = """
:root{color-scheme:light dark;--page:#f2f4f7;--card:#fff;--ink:#14213d;--soft:#5a6478;--line:#d9dee8;--act:#0b5cad;
--on-act:#fff;--warn:#fff3d6;--on-warn:#5c4300}
@media(prefers-color-scheme:dark){:root{--page:#10141c;--card:#1a202c;--ink:#e8ecf4;--soft:#a3adc0;--line:#313a4b;
--act:#7db7f5;--on-act:#0b1420;--warn:#3d3210;--on-warn:#ffe3a0}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;background:var(--page);color:var(--ink);
font:1rem/1.5 system-ui,sans-serif}
main{width:100%;max-width:26rem;background:var(--card);border:1px solid var(--line);border-radius:.75rem;overflow:hidden}
.notice{margin:0;padding:.75rem 1.5rem;background:var(--warn);color:var(--on-warn);font-weight:600}
.body{padding:1.5rem}
h1{margin:0 0 .25rem;font-size:1.25rem}
p{margin:0 0 1rem;color:var(--soft)}
.sum{margin:0 0 1rem;color:var(--ink);font-size:2rem;font-weight:700;font-variant-numeric:tabular-nums}
dl{display:grid;grid-template-columns:auto 1fr;gap:.25rem 1rem;margin:0 0 1.5rem;padding:1rem 0;
border:solid var(--line);border-width:1px 0}
dt{color:var(--soft)}
dd{margin:0;text-align:right;overflow-wrap:anywhere}
form{display:grid;gap:.75rem}
button,.link{min-height:2.75rem;padding:.5rem 1rem;border:1px solid var(--line);border-radius:.5rem;background:none;
color:inherit;font:inherit;font-weight:600;text-align:center;text-decoration:none;cursor:pointer}
.primary{border-color:var(--act);background:var(--act);color:var(--on-act)}
:focus-visible{outline:3px solid var(--act);outline-offset:2px}
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


def page(notice: str, title: str, content: str, status: int, goes_to: list[str | None]) -> Response:
    """`content` is HTML. Browsers check `form-action` on a redirect too: `goes_to` are the addresses it may lead to."""
    html = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · {notice}</title><style>{STYLE}</style></head>
<body><main><p class="notice">{notice}</p><div class="body">{content}</div></main></body></html>"""
    allowed = " ".join(dict.fromkeys(["'self'", *(origin for url in goes_to if (origin := _origin(url)))]))
    headers = {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action {allowed}; "
        "base-uri 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(html, status, headers=headers)


def with_query(url: str, **more: str) -> str:
    """`url` with these parameters added to those it has."""
    parts = urlsplit(url)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *more.items()])
    return urlunsplit(parts._replace(query=query))


def _origin(url: str | None) -> str:
    parts = urlsplit(url or "")
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
