"""A picture for slides as PNG, drawn by resvg in a font that comes with it (extra ``png``): the same SVG, the same pixels.

The ground stays transparent. resvg knows no CSS variables: what is drawn has its colours written out (`slide_style`).
"""

from __future__ import annotations

from tokenworks.errors import InputError

FAMILY = "Source Sans 3"
FILE = "SourceSans3[wght].ttf"
ZOOM = 2  # pixels of the PNG per pixel of the SVG: sharp on a projector
ELSEWHERE = 0x0530  # from this letter on (Armenian) the font has none; Latin, Greek and Cyrillic come before


def to_png(svg: str) -> bytes:
    """The picture, twice as many pixels wide and high as the SVG says. Letters that the font does not have are taken from
    the fonts of the machine. Raises InputError where the extra is not installed."""
    try:
        import fontpkg_source_sans_3 as font
        import resvg_py
    except ImportError:
        raise InputError("PNG needs resvg and a font: pip install 'tokenworks[png]'; SVG does not") from None
    common = any(ord(c) >= ELSEWHERE and c.isalpha() for c in svg)
    drawn = resvg_py.svg_to_bytes(
        svg_string=svg,
        zoom=ZOOM,
        sans_serif_family=FAMILY,
        font_files=[str(font.ROOT / "files" / FILE)],
        skip_system_fonts=not common,
    )
    return bytes(drawn)
