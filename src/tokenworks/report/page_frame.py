"""The frame of pages: self-contained, no network, right in light and dark."""

from __future__ import annotations

from html import escape

from tokenworks.report.page_style import SCRIPT, STYLE


def frame(title: str, verdict: str, state: str, body: str, note: str = "") -> str:
    """A whole page. ``state``: good, warn or bad; ``body``: HTML."""
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return document(
        title,
        f'<header><button id="mode" type="button">light / dark</button><h1>{escape(title)}</h1>'
        f'<p class="verdict {state}" role="status">{escape(verdict)}</p>{said}</header>{body}',
    )


def document(title: str, body: str, style: str = "", script: str = "") -> str:
    """A whole page around what it shows. ``body``: HTML; ``style`` and ``script``: beside the common ones."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} – Tokenworks</title><style>{STYLE}{style}</style></head>"
        f"<body><main>{body}</main><script>{SCRIPT}{script}</script></body></html>"
    )


def section(title: str, body: str, note: str = "") -> str:
    """``title`` and ``note`` are text, ``body`` is HTML."""
    head = f"<h2>{escape(title)}</h2>" if title else ""
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section>{head}{said}{body}</section>"
