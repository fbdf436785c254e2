"""`tokenworks invoice draft|issue|credit|show`: from rated usage to a document that never changes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenworks.cli.ledger_place import opened, place_arguments
from tokenworks.cli.ledger_tables import exported, from_exports, table_arguments
from tokenworks.cli.values import day_of, moment_us_of, range_of, whole_of

if TYPE_CHECKING:
    from tokenworks.pricing.invoice import Invoice, LedgerRange
    from tokenworks.pricing.measure import Tables
    from tokenworks.pricing.periods import Period

VIEWS = ("json", "csv", "html", "pdf", "focus", "focus-1.2")


def register(verbs: Any) -> None:
    parser = verbs.add_parser("invoice", help="draft, issue, credit and show invoices")
    kinds = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    drafted = kinds.add_parser("draft", help="rate a month of a tenant; nothing is final")
    drafted.add_argument("plan", metavar="PLAN")
    table_arguments(drafted)
    drafted.add_argument("--tenant", required=True)
    drafted.add_argument("--issuer", required=True, metavar="NAME")
    drafted.add_argument("--issuer-address", default="")
    drafted.add_argument(
        "--range", metavar="FIRST:LAST:SHA256", help="of exported tables: their range of the ledger and its hash"
    )
    drafted.add_argument(
        "--after", metavar="INVOICE.json", help="the invoice of the month before: balances, corrections"
    )
    drafted.add_argument("--unpriced", choices=("error", "line"), default="error", help="usage without a price")
    _output(drafted)
    drafted.set_defaults(run=run_draft)
    issued = kinds.add_parser("issue", help="give a draft its number; refused while the period is open")
    issued.add_argument("draft", metavar="DRAFT.json")
    place_arguments(issued)
    issued.add_argument(
        "--closed-until", metavar="TIME", help="without a ledger at hand: up to when it is closed, ISO 8601"
    )
    _final(issued)
    issued.set_defaults(run=run_issue)
    credited = kinds.add_parser("credit", help="take back an issued invoice or some of its lines")
    credited.add_argument("invoice", metavar="NUMBER")
    credited.add_argument("--reason", required=True)
    credited.add_argument("--lines", metavar="N,N", help="numbers of lines (default: all)")
    credited.add_argument("--ledger", metavar="PLACE", help="refuse where this ledger is not what was invoiced")
    credited.add_argument("--segments", metavar="FOLDER", help="of sealed segments (default: beside the file)")
    _final(credited)
    credited.set_defaults(run=run_credit)
    shown = kinds.add_parser("show", help="an invoice as JSON, CSV, HTML, PDF or FOCUS")
    shown.add_argument("invoice", metavar="NUMBER")
    shown.add_argument("--folder", default="invoices", metavar="FOLDER")
    _output(shown)
    shown.set_defaults(run=run_show)


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--as", dest="view", choices=VIEWS, default="json")
    parser.add_argument("--output", metavar="FILE", help="default: standard output")


def _final(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--number", required=True)
    parser.add_argument("--date", required=True, metavar="YYYY-MM-DD", help="date on the document")
    parser.add_argument("--folder", default="invoices", metavar="FOLDER", help="where issued ones are kept")


def run_draft(args: argparse.Namespace) -> int:
    from tokenworks.pricing.account import Accounts
    from tokenworks.pricing.invoice import Issuer, after, draft
    from tokenworks.pricing.plan import Plan
    from tokenworks.pricing.rating import NOTHING, Terms, period_of
    from tokenworks.pricing.reading import read

    file = read(args.accounts, Accounts)
    account = file.of(args.tenant)
    terms = Terms(read(args.plan, Plan), account, period_of(account, args.month), file.rates, args.unpriced)
    opening, closed = after(_file(args.after)) if args.after else (NOTHING, ())
    tables, pinned = _rated(args, terms.period)
    _write(args, draft(terms, tables, pinned, Issuer(args.issuer, args.issuer_address), opening, closed))
    return 0


def _rated(args: argparse.Namespace, period: Period) -> tuple[Tables, LedgerRange]:
    """Rows and their range: of a closed period of the ledger, or of exported tables as the arguments say."""
    from tokenworks.errors import InputError
    from tokenworks.pricing.pinned import pin, tables_of_range

    if from_exports(args):
        if not args.range:
            raise InputError("exported tables need --range FIRST:LAST:SHA256; a ledger (--ledger) knows its own")
        return exported(args), range_of(args.range)
    if args.range:
        raise InputError("--range is of exported tables (--usage, --cost, --outcomes); a ledger knows its own")
    with opened(args, read_only=True) as ledger:
        pinned = pin(ledger, period, args.tenant)
        return tables_of_range(ledger, args.tenant, pinned.last_seq), pinned


def run_issue(args: argparse.Namespace) -> int:
    from tokenworks.pricing.invoice import issue
    from tokenworks.pricing.shelf import put

    invoice = _file(args.draft)
    closed_us = moment_us_of(args.closed_until) if args.closed_until else _closed_us(args, invoice)
    print(put(Path(args.folder), issue(invoice, args.number, day_of(args.date), closed_us)))
    return 0


def _closed_us(args: argparse.Namespace, invoice: Invoice) -> int:
    """The end of the invoice's period, which the ledger has closed. Raises InputError where it has not."""
    from tokenworks.pricing.pinned import require_pinned

    with opened(args, read_only=True) as ledger:
        require_pinned(ledger, invoice)
    return invoice.end_us


def run_credit(args: argparse.Namespace) -> int:
    from tokenworks.pricing.invoice import credit
    from tokenworks.pricing.pinned import require_pinned
    from tokenworks.pricing.shelf import every, get, put

    folder = Path(args.folder)
    lines = None if args.lines is None else [whole_of(text) for text in args.lines.split(",")]
    invoice = get(folder, args.invoice)
    if args.ledger:
        with opened(args, read_only=True) as ledger:
            require_pinned(ledger, invoice)
    note = credit(invoice, args.number, day_of(args.date), args.reason, lines, every(folder))
    print(put(folder, note))
    return 0


def run_show(args: argparse.Namespace) -> int:
    from tokenworks.pricing.shelf import get

    _write(args, get(Path(args.folder), args.invoice))
    return 0


def _write(args: argparse.Namespace, invoice: Invoice) -> None:
    import sys

    from tokenworks.report.files import write_whole

    data = _view(args.view, invoice)
    if args.output:
        write_whole(Path(args.output), data)
    else:
        sys.stdout.buffer.write(data)


def _view(view: str, invoice: Invoice) -> bytes:
    from tokenworks.pricing.focus import to_focus_csv
    from tokenworks.pricing.invoice import canonical
    from tokenworks.pricing.invoice_csv import to_csv
    from tokenworks.pricing.invoice_html import to_html
    from tokenworks.pricing.invoice_pdf import to_pdf

    if view.startswith("focus"):
        return to_focus_csv(invoice, "1.2" if view == "focus-1.2" else "1.3")
    return {"json": canonical, "csv": to_csv, "html": to_html, "pdf": to_pdf}[view](invoice)


def _file(path: str) -> Invoice:
    from tokenworks.errors import InputError
    from tokenworks.pricing.invoice import read_invoice

    try:
        return read_invoice(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
