"""A folder of pictures: every kind of file gives the pixels that a viewer shows, and every bad one is named."""

import os
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import data

ROUNDING = 2  # rows and columns are resampled one after the other, each with bytes as its result


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "mine"
    made.mkdir()
    return made


@pytest.fixture(autouse=True)
def _no_warning():
    """A warning that a test does not expect fails it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def noise(height, width, seed=0):
    """A smooth uint8 picture (height, width, 3) that is unlike each of its mirror images."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def one(folder, size, **options):
    """The bytes of the only picture: (H, W, 3) or (H, W)."""
    x, files = data.pictures(folder, size, **options)
    assert len(x) == len(files) == 1
    return data.to_uint8(x)[0].astype(int)


def lanczos(inside, start, length, outside):
    """Matrix (outside, inside) of antialiased Lanczos-3 resampling of [start, start + length), by its definition."""
    scale = length / outside
    width = max(scale, 1.0)
    centre = start + (np.arange(outside)[:, None] + 0.5) * scale
    t = (np.arange(inside)[None] + 0.5 - centre) / width
    weight = np.where(np.abs(t) < 3, np.sinc(t) * np.sinc(t / 3), 0)
    return weight / weight.sum(1, keepdims=True)


def resized(pixels, box, size):
    """`pixels` within box = (left, top, side), resampled to (size, size, 3) without any rounding."""
    left, top, side = box
    rows = lanczos(pixels.shape[0], top, side, size)
    columns = lanczos(pixels.shape[1], left, side, size)
    return np.einsum("ih,jw,hwc->ijc", rows, columns, pixels.astype(float), optimize=True).clip(0, 255)


@pytest.mark.parametrize(
    ("shape", "box"), [((40, 40), (0, 0, 40)), ((40, 67), (13.5, 0, 40)), ((90, 40), (0, 25, 40))]
)
@pytest.mark.parametrize("size", [8, 13, 40])
def test_the_square_in_the_middle_is_resampled_with_antialiasing(folder, shape, box, size):
    pixels = noise(*shape)
    save(folder / "a.png", pixels)
    assert np.abs(one(folder, size) - resized(pixels, box, size)).max() < ROUNDING


def test_what_it_returns(folder):
    save(folder / "black.png", np.zeros((9, 9, 3), np.uint8))
    save(folder / "white.png", np.full((9, 9, 3), 255, np.uint8))
    x, files = data.pictures(folder, 8)
    assert x.shape == (2, 3, 8, 8)
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    assert (x[0] == -1).all()
    assert (x[1] == 1).all()
    assert files == ["black.png", "white.png"]
    assert data.pictures(str(folder), 8, colour=False)[0].shape == (2, 1, 8, 8)


def test_the_whole_picture_on_white(folder):
    save(folder / "wide.png", np.zeros((10, 40, 3), np.uint8))
    save(folder / "x_tall.png", np.zeros((40, 10, 3), np.uint8))
    x, _ = data.pictures(folder, 20, crop=False)
    expected = torch.ones(3, 20, 20)
    expected[:, 7:12] = -1  # five rows of twenty
    assert torch.equal(x[0], expected)
    assert torch.equal(x[1], expected.mT)


def test_a_line_keeps_a_row_of_the_whole_picture(folder):
    save(folder / "line.png", np.zeros((1, 300, 3), np.uint8))
    assert (one(folder, 8, crop=False) == 0).all(2).sum() == 8


# What a viewer does with the stored pixels, by the EXIF standard's table.
UPRIGHT = {
    1: lambda p: p,
    2: np.fliplr,
    3: lambda p: np.rot90(p, 2),
    4: np.flipud,
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
    8: lambda p: np.rot90(p, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(
    ("suffix", "options", "near"),
    [
        ("jpg", {"quality": 100, "subsampling": 0}, 4),
        ("png", {}, 0),
        ("webp", {"lossless": True}, 0),
        ("tif", {}, 0),
    ],
)
def test_pictures_stand_upright(folder, orientation, suffix, options, near):
    stored = noise(24, 24)
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(folder / f"a.{suffix}", stored, exif=exif, **options)
    assert np.abs(one(folder, 24) - UPRIGHT[orientation](stored)).max() <= near


def test_the_crop_is_that_of_the_upright_picture(folder):
    stored = noise(20, 33)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(folder / "a.png", stored, exif=exif)
    upright = np.rot90(stored, -1)  # 33 high, 20 wide
    assert np.abs(one(folder, 20) - resized(upright, (0, 6.5, 20), 20)).max() < ROUNDING


def test_a_damaged_note_on_the_orientation_costs_no_picture(folder):
    pixels = noise(16, 16)
    save(folder / "a.png", pixels, exif=b"Exif\0\0no TIFF header")
    assert (one(folder, 16) == pixels).all()


def ramp(dtype=np.uint8, step=1):
    """(16, 16), values 0, step, 2 step ... 255 step."""
    return (np.arange(256) * step).astype(dtype).reshape(16, 16)


def grey(values):
    return np.repeat(np.asarray(values)[..., None], 3, 2)


def with_alpha():
    pixels, alpha = noise(16, 16), ramp()
    a = alpha[..., None] / 255
    return np.dstack([pixels, alpha]), pixels * a + 255 * (1 - a)


def palette(**options):
    """A picture in 7 colours, and their bytes."""
    colours = np.random.default_rng(1).integers(0, 256, (7, 3), np.uint8)
    index = ramp() % 7
    image = Image.fromarray(index.astype(np.uint8))
    image.putpalette(colours.tobytes())
    return image, colours[index].astype(int), index


def test_grey(folder):
    save(folder / "a.png", ramp())
    assert (one(folder, 16) == grey(ramp())).all()
    assert (one(folder, 16, colour=False) == ramp()).all()


def test_black_and_white(folder):
    save(folder / "a.png", Image.fromarray(ramp()).convert("1", dither=Image.Dither.NONE))
    assert (one(folder, 16) == grey(np.where(ramp() > 127, 255, 0))).all()


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_transparency_is_laid_on_white(folder, suffix):
    pixels, expected = with_alpha()
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    save(folder / f"a.{suffix}", pixels, **options)
    assert np.abs(one(folder, 16) - expected).max() <= 1


def test_white_enters_before_the_resizing(folder):
    """The colour below transparent pixels must not bleed into their neighbours."""
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[..., 0] = 255  # red, all of it transparent but the left half, which is white
    pixels[:, :8] = 255
    save(folder / "a.png", pixels)
    assert (one(folder, 5) == 255).all()


def test_grey_with_transparency(folder):
    alpha = ramp()[::-1].copy()
    image = Image.merge("LA", [Image.fromarray(ramp()), Image.fromarray(alpha)])
    save(folder / "a.png", image)
    a = alpha / 255
    assert np.abs(one(folder, 16) - grey(ramp() * a + 255 * (1 - a))).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "gif", "bmp", "tif"])
def test_palettes(folder, suffix):
    image, expected, _ = palette()
    save(folder / f"a.{suffix}", image)
    assert (one(folder, 16) == expected).all()


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_transparent_colour_of_a_palette(folder, suffix):
    image, expected, index = palette()
    save(folder / f"a.{suffix}", image, transparency=3)
    expected[index == 3] = 255
    assert (one(folder, 16) == expected).all()


@pytest.mark.parametrize(
    ("pixels", "colour"), [(ramp(), 7), (noise(16, 16), (0, 0, 0)), (ramp(np.uint16, 257), 7 * 257)]
)
def test_a_transparent_colour_without_a_palette(folder, pixels, colour):
    pixels = pixels.copy()
    pixels[:3] = colour
    save(folder / "a.png", pixels, transparency=colour)
    expected = pixels // 257 if pixels.dtype == np.uint16 else pixels
    expected = grey(expected).copy() if expected.ndim == 2 else expected.copy()
    match = (pixels == colour).reshape(16, 16, -1).all(2)
    expected[match] = 255
    assert match.sum() >= 48
    assert (one(folder, 16) == expected).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits(folder, suffix):
    save(folder / f"a.{suffix}", ramp(np.uint16, 257))
    assert (one(folder, 16) == grey(ramp())).all()


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(folder, suffix):
    ink = Image.new("CMYK", (16, 16), (255, 0, 0, 0))  # cyan
    ink.paste((0, 0, 0, 255), (8, 0, 16, 16))  # black
    save(folder / f"a.{suffix}", ink, **({"quality": 100} if suffix == "jpg" else {}))
    found = one(folder, 16)
    assert np.abs(found[:, 1:7] - [0, 255, 255]).max() <= 4
    assert np.abs(found[:, 9:] - [0, 0, 0]).max() <= 4
    assert np.abs(one(folder, 16, colour=False)[:, 9:]).max() <= 4


@pytest.mark.parametrize("mode", ["I", "F"])
def test_values_without_a_range_are_refused(folder, mode):
    save(folder / "depth.tif", Image.new(mode, (16, 16), 7))
    with pytest.raises(ValueError, match=r"(?s)depth\.tif \(32-bit grey values, .*save it with 8 bits"):
        data.pictures(folder, 16)


def test_colours_become_grey_by_their_luminance(folder):
    pixels = noise(16, 16)
    save(folder / "a.png", pixels)
    assert np.abs(one(folder, 16, colour=False) - pixels @ [0.299, 0.587, 0.114]).max() <= 1


@pytest.mark.parametrize("suffix", ["gif", "tif", "webp", "png"])
def test_of_several_pictures_in_a_file_the_first(folder, suffix):
    first, second = (Image.new("RGB", (16, 16), c) for c in ("black", "white"))
    save(folder / f"a.{suffix}", first, save_all=True, append_images=[second])
    assert (one(folder, 16) == 0).all()


@pytest.mark.parametrize(("orientation", "size"), [(1, 16), (6, 16), (1, 100)])
def test_a_large_jpeg_file_is_not_told_from_the_whole(folder, orientation, size):
    """Decoded at an eighth, it has 76 x 101 pixels, of which the last ones lie mostly beyond its edge."""
    pixels = noise(601, 805)
    rough = np.clip(pixels + np.random.default_rng(2).normal(0, 30, pixels.shape), 0, 255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(folder / "a.jpg", rough, quality=95, exif=exif)
    with Image.open(path) as image:
        whole = np.asarray(image)
    expected = UPRIGHT[orientation](resized(whole, (102, 0, 601), size))
    assert np.abs(one(folder, size) - expected).max() < 5


def test_the_content_counts_and_not_the_suffix(folder):
    pixels = noise(16, 16)
    save(folder / "really_png.jpg", pixels, format="PNG")
    assert (one(folder, 16) == pixels).all()


def test_formats_that_not_every_pillow_reads_are_refused_by_all(folder):
    save(folder / "really_ppm.png", noise(16, 16), format="PPM")
    with pytest.raises(
        ValueError, match=r"really_ppm\.png \(its content is not a picture of these formats\)"
    ):
        data.pictures(folder, 16)


NAMES = ["Z.png", "a-b.png", "a/2.PNG", "a/b/1.png", "a/c.Jpeg", "b.webp", "é.bmp", "中.gif"]


def test_sub_folders_in_an_order_that_no_file_system_changes(folder, monkeypatch):
    for brightness, name in enumerate(reversed(NAMES)):
        save(folder / name, np.full((8, 8, 3), 10 * brightness, np.uint8))
    orders = []
    for reverse in (False, True):
        walk = os.walk

        def sorted_walk(*arguments, _walk=walk, _reverse=reverse, **options):
            for place, folders, names in _walk(*arguments, **options):
                folders.sort(reverse=_reverse)
                names.sort(reverse=_reverse)
                yield place, folders, names

        with monkeypatch.context() as patch:
            patch.setattr(os, "walk", sorted_walk)
            orders.append(data.pictures(folder, 8))
    (x, files), (x_again, files_again) = orders
    assert files == files_again == NAMES
    assert torch.equal(x, x_again)
    assert data.to_uint8(x)[:, 0, 0, 0] == pytest.approx(10 * np.arange(8)[::-1], abs=1)


def test_composed_and_decomposed_names_stand_at_one_place(folder):
    for name in ("e\u0301.png", "f.png", "z.png"):
        save(folder / name, noise(8, 8))
    assert data.pictures(folder, 8)[1] == ["f.png", "z.png", "e\u0301.png"]  # as é alone would


def test_what_no_one_put_there_is_passed_over(folder):
    save(folder / "a.png", noise(8, 8))
    for name in (
        ".DS_Store",
        "._a.png",
        "Thumbs.db",
        "desktop.ini",
        ".ipynb_checkpoints/b.png",
        "c/.hidden.jpg",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no picture")
    assert data.pictures(folder, 8)[1] == ["a.png"]  # and no warning


def test_other_files_are_named(folder):
    save(folder / "a.png", noise(8, 8))
    for name in ("IMG_1.HEIC", "notes.txt", "film.mp4", "x", "y", "z"):
        (folder / name).touch()
    with pytest.warns(
        UserWarning, match=r"6 files in .*mine left out: IMG_1.HEIC, .*notes.txt.* and 1 more"
    ) as seen:
        assert data.pictures(folder, 8)[1] == ["a.png"]
    assert ".heic, as one of these" in str(seen[0].message)
    assert seen[0].filename == __file__


def test_a_link_to_a_folder_is_named_and_not_followed(folder):
    save(folder / "a.png", noise(8, 8))
    (folder / "again").symlink_to(folder, target_is_directory=True)
    with pytest.warns(UserWarning, match="1 file in .*left out: again"):
        assert data.pictures(folder, 8)[1] == ["a.png"]
    outside = folder.parent / "link"
    outside.symlink_to(folder, target_is_directory=True)
    with pytest.warns(UserWarning, match="left out: again"):
        assert data.pictures(outside, 8)[1] == ["a.png"]


def broken_files(folder):
    """Three pictures that can be read, and four files that cannot -> the names of the latter."""
    for number in (1, 3, 5):
        save(folder / f"{number}.png", np.full((8, 8, 3), 40 * number, np.uint8))
    whole = save(folder / "0.jpg", noise(64, 64), quality=95).read_bytes()
    (folder / "0.jpg").write_bytes(whole[: len(whole) // 2])
    png = bytearray(save(folder / "2.png", noise(64, 64)).read_bytes())
    png[60:90] = bytes(30)
    (folder / "2.png").write_bytes(png)
    (folder / "4.webp").touch()
    (folder / "6.gif").write_text("<html>404 Not Found</html>")
    return ["0.jpg", "2.png", "4.webp", "6.gif"]


def test_all_broken_files_are_named_at_once(folder):
    names = broken_files(folder)
    with pytest.raises(ValueError, match=r"4 of 7 pictures in .*mine cannot be read") as caught:
        data.pictures(folder, 8)
    message = str(caught.value)
    for name in names:
        assert f"\n  {name} (" in message
    assert "0.jpg (image file is truncated" in message
    assert "6.gif (its content is not a picture of these formats)" in message
    assert "The other 3 can; move these out of the folder" in message
    assert "skip_broken=True" in message
    for name in ("1.png", "3.png", "5.png"):
        assert name not in message


def test_broken_files_are_left_out_if_wanted(folder):
    names = broken_files(folder)
    with pytest.warns(UserWarning, match="4 of 7 pictures") as seen:
        x, files = data.pictures(folder, 8, skip_broken=True)
    assert all(name in str(seen[0].message) for name in names)
    assert files == ["1.png", "3.png", "5.png"]
    assert data.to_uint8(x)[:, 3, 3, 0].tolist() == [40, 120, 200]


def test_only_broken_files(folder):
    (folder / "a.png").touch()
    with pytest.raises(ValueError, match=r"(?s)1 of 1 picture in .*a\.png.*No other is left"):
        data.pictures(folder, 8, skip_broken=True)


def test_a_link_to_nothing_is_named(folder):
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    with pytest.raises(ValueError, match=r"gone\.png \(No such file or directory\)"):
        data.pictures(folder, 8)


def test_very_many_pixels(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    save(folder / "large.png", noise(18, 18))  # Pillow warns of it
    assert one(folder, 8).shape == (8, 8, 3)
    save(folder / "larger.png", noise(21, 21))
    with pytest.raises(ValueError, match=r"larger\.png \(more than 400 pixels; make it smaller first\)"):
        data.pictures(folder, 8)


def test_enlarging_is_said(folder):
    save(folder / "a.png", noise(40, 12))
    save(folder / "b.png", noise(16, 16))
    save(folder / "c.png", noise(9, 9))
    with pytest.warns(
        UserWarning, match=r"2 of 3 pictures enlarged to 16 .*a\.png \(12 x 40\), c\.png \(9 x 9\)"
    ):
        x, _ = data.pictures(folder, 16)
    assert np.abs(data.to_uint8(x)[0] - resized(noise(40, 12), (0, 14, 12), 16)).max() < ROUNDING
    with pytest.warns(UserWarning, match=r"1 of 3 pictures enlarged to 16 .*blurred: c\.png"):
        data.pictures(folder, 16, crop=False)


def test_too_much_memory_is_said_before_reading(folder):
    names = broken_files(folder)
    need = 4 * 7 * 3 * 100**2 / 1e9
    with pytest.raises(
        ValueError, match=r"7 pictures with size 100 need 0.00084 GB .*limit_gb = 0.0008; use"
    ):
        data.pictures(folder, 100, limit_gb=0.0008)
    for name in names:
        (folder / name).unlink()
    with pytest.warns(UserWarning, match="3 of 3 pictures enlarged"):  # grey ones need a third
        data.pictures(folder, 100, colour=False, limit_gb=1.01 * need / 7)


def test_no_folder(folder):
    with pytest.raises(FileNotFoundError, match=r"folder: there is no .*nothing"):
        data.pictures(folder / "nothing")
    archive = folder / "mine.zip"
    archive.touch()
    with pytest.raises(NotADirectoryError, match=r"mine\.zip is a file; .*unpack an archive"):
        data.pictures(archive)


def test_no_pictures(folder):
    with pytest.raises(ValueError, match=r"expected pictures .* in .*mine or its sub-folders, found nothing"):
        data.pictures(folder)
    (folder / "sub").mkdir()
    (folder / "sub" / "a.heic").touch()
    with pytest.raises(ValueError, match=r"found only sub/a\.heic"):
        data.pictures(folder)


def test_a_sub_folder_that_cannot_be_read_is_no_empty_one(folder, monkeypatch):
    save(folder / "a.png", noise(8, 8))
    (folder / "closed").mkdir()
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="closed"):
        data.pictures(folder, 8)


def test_the_home_folder_and_relative_paths(folder, monkeypatch):
    save(folder / "a.png", noise(8, 8))
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    assert data.pictures("~/mine", 8)[1] == ["a.png"]
    monkeypatch.chdir(folder.parent)
    assert data.pictures("mine", 8)[1] == ["a.png"]
    with pytest.raises(FileNotFoundError, match=str(folder.parent / "yours")):  # says where it looked
        data.pictures("yours", 8)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"folder": None}, TypeError),
        ({"folder": 3}, TypeError),
        ({"size": 0}, ValueError),
        ({"size": 64.0}, TypeError),
        ({"size": (64, 64)}, TypeError),
        ({"colour": "grey"}, TypeError),
        ({"crop": "centre"}, TypeError),
        ({"skip_broken": 1}, TypeError),
        ({"progress": None}, TypeError),
        ({"limit_gb": 0}, ValueError),
        ({"limit_gb": "4"}, TypeError),
    ],
)
def test_bad_arguments(folder, arguments, error):
    (name,) = arguments
    with pytest.raises(error, match=rf"{name} must be .*received"):
        data.pictures(**{"folder": folder, **arguments})


def test_a_bar_for_many(folder, monkeypatch, capsys):
    for number in range(100):
        save(folder / f"{number}.png", noise(4, 4))
    data.pictures(folder, 4)
    assert "reading pictures" in capsys.readouterr().err
    data.pictures(folder, 4, progress=False)
    (folder / "0.png").unlink()
    data.pictures(folder, 4)
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_named_pipe_is_passed_over_and_not_waited_for(folder):
    save(folder / "a.png", noise(20, 20))
    os.mkfifo(folder / "b.png")
    with pytest.warns(UserWarning, match=r"1 file in .* left out: b\.png\. These are no files"):
        x, names = data.pictures(folder, 16)
    assert names == ["a.png"]
    assert len(x) == 1


def test_a_link_to_a_folder_has_its_own_advice(folder, tmp_path):
    save(folder / "a.png", noise(20, 20))
    (tmp_path / "elsewhere").mkdir()
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    with pytest.warns(UserWarning, match=r"left out: linked\. Links to folders are not followed") as told:
        data.pictures(folder, 16)
    assert "heic" not in str(told[0].message)


def test_a_folder_of_links_to_pictures_is_a_folder_of_pictures(folder, tmp_path):
    save(tmp_path / "real.png", noise(20, 20))
    (folder / "link.png").symlink_to(tmp_path / "real.png")
    assert data.pictures(folder, 16)[1] == ["link.png"]


def test_a_picture_too_large_to_be_decoded_is_refused_before_it_is(folder):
    Image.new("L", (4000, 3000)).save(folder / "large.png")
    with pytest.raises(
        ValueError, match=r"large\.png \(4000 x 3000 pixels need 0\.096 GB to be decoded.*limit_gb"
    ):
        data.pictures(folder, 16, limit_gb=0.05)
    assert len(data.pictures(folder, 16, limit_gb=0.2)[0]) == 1
