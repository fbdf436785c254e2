"""Sections of pages under docs/ that a benchmark writes: between two comments with its name."""

from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def section(page: str, name: str, text: str) -> None:
    """Replaces what stands between ``<!-- name: made by a benchmark -->`` and ``<!-- end of name -->``."""
    path = DOCS / page
    begin, end = f"<!-- {name}: made by a benchmark -->", f"<!-- end of {name} -->"
    whole = path.read_text(encoding="utf-8")
    if whole.count(begin) != 1 or whole.count(end) != 1:
        raise SystemExit(f"{path}: no place for {name}: write {begin} and {end} into it")
    before, after = whole.partition(begin)[0], whole.partition(end)[2]
    path.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")
