"""One picture of the reader's: whole, upright, from a path or an upload, and never larger than asked for."""

import functools
import http.server
import io
import threading
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import data
from tests.unit.data.test_pictures import noise, save


def encoded(pixels, kind="PNG", **options):
    out = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(out, kind, **options)
    return out.getvalue()


def test_a_small_picture_stays_as_it_is(tmp_path):
    pixels = noise(30, 50)
    path = save(tmp_path / "mine.png", pixels)
    content = path.read_bytes()
    with warnings.catch_warnings(), path.open("rb") as opened:
        warnings.simplefilter("error")
        for source in (path, str(path), content, memoryview(content), io.BytesIO(content), opened):
            x = data.picture(source)
            assert x.shape == (1, 3, 30, 50)
            assert x.dtype == torch.float32
            np.testing.assert_array_equal(data.to_uint8(x)[0], pixels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_longer_side_of_a_large_one_is_as_wanted_and_a_notice_says_so(kind):
    source = encoded(noise(900, 600), kind, **({"quality": 95} if kind == "JPEG" else {}))
    with pytest.warns(UserWarning, match="its longer side of 900 pixels is 120 now, 80 x 120"):
        x = data.picture(source, 120)
    assert x.shape == (1, 3, 120, 80)
    expected = np.asarray(Image.fromarray(noise(900, 600)).resize((80, 120), Image.Resampling.LANCZOS))
    assert np.abs(data.to_uint8(x)[0].astype(int) - expected).mean() < 2


def test_a_telephones_picture_stands_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter, clockwise
    source = encoded(noise(40, 60), exif=exif.tobytes())
    x = data.picture(source)
    np.testing.assert_array_equal(data.to_uint8(x)[0], np.rot90(noise(40, 60), -1))
    with pytest.warns(UserWarning, match="is 30 now, 20 x 30"):
        assert data.picture(source, 30).shape == (1, 3, 30, 20)


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_every_mode_has_three_channels(mode):
    if mode == "I;16":
        image = Image.fromarray(np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30))
    else:
        image = Image.fromarray(noise(20, 30)).convert(mode)
    x = data.picture(encoded(image, "TIFF" if mode == "CMYK" else "PNG"))
    assert x.shape == (1, 3, 20, 30)
    assert float(x.std()) > 0.1
    if mode in ("L", "1", "LA", "I;16"):
        assert torch.equal(x[:, 0], x[:, 1])


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        (b"not a picture", ValueError, "source: the picture cannot be read .its content is not a picture"),
        (encoded(noise(40, 40))[:-200], ValueError, "source: the picture cannot be read .* save it anew"),
        (b"", ValueError, "cannot be read"),
        ("nowhere/mine.png", FileNotFoundError, "source: nowhere/mine.png is no file; check the name"),
        (".", FileNotFoundError, "source: . is a folder; data.pictures reads these"),
        (3, TypeError, "source: expected a path, bytes or an open file, got int"),
    ],
)
def test_what_is_no_picture_is_named(source, error, says):
    with pytest.raises(error, match=says):
        data.picture(source)


@pytest.fixture
def address(tmp_path):
    """A server of this machine's, with a folder of pictures."""
    save(tmp_path / "mine.png", noise(30, 50))
    (tmp_path / "large.bin").write_bytes(bytes(2_000))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_picture_at_an_address(address, monkeypatch):
    np.testing.assert_array_equal(data.to_uint8(data.picture(f"{address}/mine.png"))[0], noise(30, 50))
    advice = "check the address and the network, or download it with a browser and give its path"
    with pytest.raises(data.DownloadError, match=f"/yours.png, got: .*404.*; {advice}"):
        data.picture(f"{address}/yours.png")
    with pytest.raises(ValueError, match=r"large\.bin cannot be read"):
        data.picture(f"{address}/large.bin")
    monkeypatch.setattr("course_lib.data.own_pictures._LARGEST", 1_000)
    with pytest.raises(data.DownloadError, match=r"large\.bin is larger than"):
        data.picture(f"{address}/large.bin")


def test_no_server_at_an_address():
    with pytest.raises(data.DownloadError, match=r"expected a picture at http://127\.0\.0\.1:9/a\.png, got"):
        data.picture("http://127.0.0.1:9/a.png")


def test_memory_is_bounded():
    huge = encoded(Image.new("L", (9_000, 9_000)))
    with pytest.raises(ValueError, match=r"9000 x 9000 pixels need 0\.648 GB to be decoded"):
        data.picture(huge, limit_gb=0.1)
