"""An invoice as one HTML page: no network, no script, right in light and dark and on paper."""

from __future__ import annotations

from html import escape

from tokenworks.pricing.invoice import Invoice
from tokenworks.pricing.paper import Printed, printed

_LIGHT = "--bg:#fbfbf9;--fg:#1d1f22;--dim:#5c626b;--line:#dcdcd6;color-scheme:light"
_DARK = "--bg:#15171a;--fg:#e8e8e4;--dim:#9aa0a8;--line:#33373d;color-scheme:dark"
STYLE = (
    f":root{{{_LIGHT}}}@media(prefers-color-scheme:dark){{:root{{{_DARK}}}}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}"
    "main{max-width:820px;margin:0 auto;padding:32px 20px 60px}h1{font-size:26px;margin:0 0 20px}"
    ".two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(300px,100%),1fr));gap:12px 40px;margin-bottom:24px}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;margin:0}dt{color:var(--dim)}dd{margin:0}"
    "address{font-style:normal;margin-bottom:12px}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:6px 10px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}"
    "th{color:var(--dim);font-weight:600;font-size:13px}.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}"
    "small{color:var(--dim);display:block;font-size:13px}tfoot td{border:0}tfoot tr:last-child td{font-weight:700;font-size:17px}"
    ".fine{color:var(--dim);font-size:12px;margin-top:28px;overflow-wrap:anywhere}.scroll{overflow-x:auto}"
    f"@media print{{:root{{{_LIGHT};--bg:#fff}}body{{font-size:11px}}main{{padding:0;max-width:none}}"
    "tr{break-inside:avoid}thead{display:table-header-group}tfoot{display:table-row-group}.scroll{overflow:visible}}"
)


def to_html(invoice: Invoice) -> bytes:
    said = printed(invoice)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(said.title)}</title><style>{STYLE}</style></head><body><main>"
        f"<h1>{escape(said.title)}</h1>{_head(said)}{_table(said, invoice.currency)}{_fine(said)}</main></body></html>\n"
    ).encode()


def _head(said: Printed) -> str:
    facts = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in said.facts)
    issuer, customer = ("<br>".join(map(escape, lines)) for lines in (said.issuer, said.customer))
    return f'<div class="two"><div><address>{issuer}</address><address>{customer}</address></div><dl>{facts}</dl></div>'


def _table(said: Printed, currency: str) -> str:
    rows = "".join(
        f'<tr><td class="n">{line.number}</td><td>{escape(line.text)}<small>{escape(line.detail)}</small></td>'
        f'<td class="n">{escape(line.quantity)}</td><td class="n">{escape(line.amount)}</td></tr>'
        for line in said.lines
    )
    sums = "".join(
        f'<tr><td></td><td colspan="2">{escape(key)}</td><td class="n">{escape(value)}</td></tr>'
        for key, value in said.sums
    )
    head = f'<tr><th class="n">#</th><th>What</th><th class="n">Quantity</th><th class="n">{escape(currency)}</th></tr>'
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{rows}</tbody><tfoot>{sums}</tfoot></table></div>'


def _fine(said: Printed) -> str:
    return '<div class="fine">' + "".join(f"<div>{escape(text)}</div>" for text in said.small) + "</div>"
