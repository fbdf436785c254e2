"""How pictures for slides look: one set of colours, each of which stands out from white, from dark grey and from black.

Slide programs know neither CSS variables nor a dark mode, and the ground is transparent.
"""

INK = "#767676"  # text and lines
TONES = ("#3f7fc1", "#c8641a", "#15867e", "#9a5bb0", "#8f7a12", "#808080", "#808080")
WARN = "#d0453b"

SLIDE_STYLE = (
    f"<style>text{{fill:{INK};font:14px Helvetica,Arial,sans-serif}}.head{{font-weight:bold;font-size:17px}}"
    f".grid{{stroke:{INK};stroke-opacity:.35}}.limit{{stroke:{WARN};stroke-dasharray:5 4;stroke-width:1.6}}"
    + "".join(f".bar.c{i}{{fill:{tone}}}.dot.c{i}{{fill:{tone};stroke:{tone}}}" for i, tone in enumerate(TONES))
    + ".dot{stroke-width:1.6}.dot.hollow{fill:none}.dot.faint{opacity:.5}</style>"
)
