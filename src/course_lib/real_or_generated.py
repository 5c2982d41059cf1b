"""A person as a discriminator: pictures one at a time, real or generated?, and the answers as games (chapter 15).

On a built page the browser alone turns the pictures and says whether an answer was right. Arguments of another shape,
type or range raise TypeError or ValueError.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from course_lib import checks
from course_lib.metrics.games import Games, play
from course_lib.precision import course_defaults

if TYPE_CHECKING:
    import ipywidgets

ANSWERS = ("not sure yet", "real", "generated")
ENLARGED = 5  # screen pixels per pixel


class Panel:
    """Pictures of several generators and real ones in random order, and what a reader says about them.

    ``generated["G of wgan"]`` are samples of that generator, (N, C, H, W) in [-1, 1]; `real` has the same shape. The
    first `each` of every generator's are shown, and as many real ones as of all together, shuffled by `generator`.
    """

    def __init__(
        self, generated: Mapping[str, Tensor], real: Tensor, *, each: int, generator: torch.Generator
    ) -> None:
        checks.whole("each", each)
        if not generated:
            raise ValueError("generated: expected the samples of at least one generator, got none")
        pictures, makers = [], []
        for maker, x in {**generated, None: real}.items():
            name = "real" if maker is None else f"generated[{maker!r}]"
            wanted = each if maker is not None else each * len(generated)
            checks.images(name, x, shown=True)
            if len(x) < wanted:
                raise ValueError(f"{name}: expected at least {wanted} pictures, got {len(x)}")
            pictures.append(x[:wanted].cpu())
            makers += [maker] * wanted
        order = torch.randperm(len(makers), generator=generator)
        self.pictures = torch.cat(pictures)[order]  # (n, C, H, W)
        self.makers: list[str | None] = [makers[i] for i in order]  # None: real
        self.says_real: list[bool | None] = [None] * len(makers)  # None: no answer yet

    @property
    def answered(self) -> int:
        """How many pictures have an answer."""
        return sum(says is not None for says in self.says_real)

    @property
    def right(self) -> int:
        """How many answers are right."""
        answers = zip(self.says_real, self.makers, strict=True)
        return sum(says == (maker is None) for says, maker in answers if says is not None)

    def answer(self, number: int, says_real: bool) -> None:
        """Take down what the reader says about picture `number`, from 0; a later answer replaces an earlier one."""
        number = checks.whole("number", number, at_least=0, at_most=len(self.makers) - 1)
        self.says_real[number] = checks.flag("says_real", says_real)

    def answer_by(self, judge: Callable[[Tensor], Tensor]) -> None:
        """Let `judge`, pictures (n, C, H, W) -> logits (n,), say something about every picture, as a reader would."""
        logits = checks.logits("judge(pictures)", judge(self.pictures), f"({len(self.makers)},)")
        self.says_real = (logits > 0).tolist()

    @course_defaults()
    def games(self, name: str = "you") -> Games:
        """The answers so far as games of the discriminator `name` against the generators, as in `play`.

        ValueError: no answer about a generated picture, or none about a real one.
        """
        of: dict[str | None, list[float]] = {}
        for maker, says in zip(self.makers, self.says_real, strict=True):
            if says is not None:
                of.setdefault(maker, []).append(1.0 if says else -1.0)
        real = of.pop(None, [])
        if not of or not real:
            raise ValueError(
                "answers: expected at least one about a generated and one about a real picture, got "
                f"{sum(map(len, of.values()))} and {len(real)}; answer a few more"
            )
        return play({maker: {name: torch.tensor(x)} for maker, x in of.items()}, {name: torch.tensor(real)})

    def widget(self) -> ipywidgets.Widget:
        """Slider, picture, buttons and a verdict. Without Python all of it works but the taking down."""
        import ipywidgets

        screens = [self._screen(i) for i in range(len(self.makers))]
        control = ipywidgets.SelectionSlider(
            options=[(f"{i + 1} of {len(screens)}", i) for i in range(len(screens))],
            description="picture",
            style={"description_width": "initial"},
            layout=ipywidgets.Layout(width="100%", max_width="460px"),
        )
        return ipywidgets.VBox([control, _stack(control, screens)])

    def _screen(self, i: int) -> ipywidgets.Widget:
        import ipywidgets

        is_real = self.makers[i] is None
        truth = "real" if is_real else f"generated, by {self.makers[i]}"
        marks = ("Right" if (answer == "real") == is_real else "Wrong" for answer in ANSWERS[1:])
        verdicts = ["Real or generated?", *(f"<b>{mark}:</b> it is {truth}." for mark in marks)]
        buttons = ipywidgets.ToggleButtons(options=list(ANSWERS), description="")
        verdict = _stack(buttons, [ipywidgets.HTML(text) for text in verdicts])
        buttons.observe(lambda change: self._press(i, change["new"]), "index")
        return ipywidgets.VBox([ipywidgets.HTML(self._image(i)), buttons, verdict])

    def _press(self, i: int, button: int) -> None:
        self.says_real[i] = None if button == 0 else ANSWERS[button] == "real"

    def _image(self, i: int) -> str:
        from PIL import Image

        from course_lib.data import to_uint8

        pixels = to_uint8(self.pictures[i : i + 1])[0]
        file = io.BytesIO()
        Image.fromarray(pixels.squeeze()).save(file, "PNG")
        source = base64.b64encode(file.getvalue()).decode()
        size = f'width="{ENLARGED * pixels.shape[1]}" style="image-rendering: pixelated"'
        return f'<img src="data:image/png;base64,{source}" alt="Picture {i + 1}: real or generated?" {size}>'


def _stack(control: ipywidgets.Widget, screens: list[ipywidgets.Widget]) -> ipywidgets.Widget:
    """The one of the `screens` that `control` is at; the browser turns them, so it works without Python."""
    import ipywidgets

    if hasattr(ipywidgets, "Stack"):
        stack = ipywidgets.Stack(screens, selected_index=0)
        ipywidgets.jslink((control, "index"), (stack, "selected_index"))
    else:  # ipywidgets 7, as on Colab: a running kernel turns the pages
        stack = ipywidgets.VBox([screens[0]])
        control.observe(lambda change: setattr(stack, "children", (screens[change["new"]],)), "index")
    return stack
