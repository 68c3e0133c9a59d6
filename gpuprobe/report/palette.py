"""The colours of what is drawn, on white paper and on a dark page alike."""

# A medium grey, with enough contrast on white and on GitHub's dark page.
INK = "#7d8590"
# Okabe and Ito's colours for colour-blind readers, without black and yellow, which vanish on one paper or the other.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
PURPLE, SKY, VERMILION = "#CC79A7", "#56B4E9", "#D55E00"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION)
# Text is white on blue and black on all other colours, for the contrast that WCAG 2.2, section 1.4.3, demands.
DARK = frozenset({BLUE})


def written_on(colour: str) -> str:
    """Return the colour of a text on that colour."""
    return "#ffffff" if colour in DARK else "#000000"
