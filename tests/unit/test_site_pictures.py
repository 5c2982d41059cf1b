"""Heavy pictures of the site become WebP, and pages refer to them; charts stay as they are."""

import numpy as np
import pytest
from PIL import Image

from course_lib import data
from tools.pictures import FROM, lighten


@pytest.fixture
def site(tmp_path):
    """A painted picture with a transparent rim, a chart of a few bytes, and pages in two folders."""
    images = tmp_path / "_images"
    images.mkdir()
    painted = Image.fromarray(data.to_uint8(data.painting("swirls", 360))[0])
    painted.putalpha(255)
    painted.paste((0, 0, 0, 0), (0, 0, 360, 20))
    painted.save(images / "ab12.png")
    assert (images / "ab12.png").stat().st_size > FROM
    Image.new("RGB", (300, 200), "white").save(images / "ab123.png")
    page = '<img src="{}_images/ab12.png" alt="painted"><img src="{}_images/ab123.png"> ab12.png'
    (tmp_path / "book").mkdir()
    (tmp_path / "index.html").write_text(page.format("", ""), encoding="utf-8")
    (tmp_path / "book" / "16.html").write_text(page.format("../", "../"), encoding="utf-8")
    return tmp_path


def test_a_painted_picture_becomes_webp_with_the_same_pixels(site):
    before = Image.open(site / "_images" / "ab12.png")
    pixels, weight = np.asarray(before).astype(int), (site / "_images" / "ab12.png").stat().st_size
    saved = lighten(site)
    files = {path.name: path for path in (site / "_images").iterdir()}
    assert set(files) == {"ab12.webp", "ab123.png"}
    assert saved == weight - files["ab12.webp"].stat().st_size > weight / 5
    after = np.asarray(Image.open(files["ab12.webp"]).convert("RGBA")).astype(int)
    assert np.array_equal(after, pixels)
    for page, up in (("index.html", ""), ("book/16.html", "../")):
        text = (site / page).read_text(encoding="utf-8")
        assert f'src="{up}_images/ab12.webp"' in text
        assert f'src="{up}_images/ab123.png"' in text
        assert text.endswith(" ab12.png")  # what is no address stays


def test_what_gets_no_lighter_stays(site, monkeypatch):
    monkeypatch.setattr("tools.pictures.webp", lambda path: path.read_bytes() + b"!")
    text = (site / "index.html").read_text(encoding="utf-8")
    assert lighten(site) == 0
    assert (site / "_images" / "ab12.png").exists()
    assert (site / "index.html").read_text(encoding="utf-8") == text
