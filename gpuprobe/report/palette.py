"""The colours of what is drawn, on white paper and on a dark page alike."""

# A grey of middling lightness has contrast enough against white and against GitHub's dark page.
INK = "#7d8590"
# Okabe and Ito's colours for colour-blind readers, without black and yellow, which vanish on one paper or the other.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
PURPLE, SKY, VERMILION = "#CC79A7", "#56B4E9", "#D55E00"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION)
# What is written on a colour: white on blue, black on all others, as contrast asks for (WCAG 2.2, 1.4.3).
DARK = frozenset({BLUE})


def written_on(colour: str) -> str:
    """Return the colour of a text on that colour."""
    return "#ffffff" if colour in DARK else "#000000"
