"""One matplotlib style and one meaning of each colour, for light and for dark pages alike.

Figures are transparent; text and curve colours keep a contrast of at least 3 : 1 against both colours in `PAGES`.
"""

from __future__ import annotations

import matplotlib.pyplot as plt

PAGES = {"light": "#ffffff", "dark": "#121212"}
TEXT = "#797979"
COLOURS = ("#2479c9", "#c2600a", "#2c8a4b", "#c2428f", "#7a62d1")
COLOURS += ("#8a7a12", "#118a8a", "#d1443c", "#6b7f2a", "#7d7d7d")
# The same in the whole book: what comes from the data, what a model made, the network that makes it (encoder, decoder,
# generator), the network that judges it (discriminator, critic), codes, and what the reader should look at.
REAL, GENERATED, GENERATOR, CRITIC, CODE = COLOURS[:5]
HIGHLIGHT = COLOURS[7]


def style() -> None:
    """Use the course's matplotlib style from here on; call it once per notebook."""
    faces = ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor")
    texts = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color")
    plt.rcParams.update(
        {
            **dict.fromkeys(faces, "none"),
            **dict.fromkeys(texts, TEXT),
            "legend.frameon": False,
            "figure.dpi": 100,
            "figure.figsize": (6.4, 3.6),
            "figure.constrained_layout.use": True,
            "font.size": 12,
            "legend.fontsize": 11,
            "axes.prop_cycle": plt.cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 12,
            "lines.linewidth": 2.0,
            "grid.alpha": 0.35,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
        }
    )
    try:  # twice the pixels on a notebook's page, so that a screen with small pixels shows sharp text
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("retina")
    except (ImportError, AttributeError):  # no notebook: nothing to sharpen
        pass
