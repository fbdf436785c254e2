"""Plans, rating, invoices, risk: how usage becomes money. See docs/decisions/0010-rating.md."""
