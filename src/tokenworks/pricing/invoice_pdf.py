"""An invoice as PDF, set by typst (extra ``invoices``): the same invoice gives the same bytes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from tokenworks.errors import InputError
from tokenworks.pricing.invoice import Invoice
from tokenworks.pricing.paper import issued_moment, printed

TEMPLATE = Path(__file__).with_name("invoice.typ")


def to_pdf(invoice: Invoice) -> bytes:
    """Raises InputError where typst is not installed."""
    try:
        import typst
    except ImportError:
        raise InputError("PDF needs typst: pip install 'tokenworks[invoices]'; JSON, CSV and HTML do not") from None
    said = {**dataclasses.asdict(printed(invoice)), "currency": invoice.currency, "date": issued_moment(invoice)}
    made = typst.compile(
        TEMPLATE.read_bytes(),
        format="pdf",
        ignore_system_fonts=True,
        sys_inputs={"said": json.dumps(said, ensure_ascii=False)},
        timestamp=0,
    )
    return bytes(made)
