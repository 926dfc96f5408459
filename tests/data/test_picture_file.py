"""Picture files: 16 bits, transparency and orientation are seen, counted and handled; what is no picture is named."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simclip.data.image_store import open_pictures
from simclip.data.images import Transform, centre_crop, read_square, resize_antialiased
from simclip.data.picture_file import (
    DEEP,
    TRANSPARENT,
    TURNED,
    looks,
    picture_notes,
    picture_stamps,
    unreadable,
)
from simclip.errors import InputError
from simclip.runtime.cache import cache_folder, file_stamps
from simclip.train.config import TrainConfig
from simclip.train.precompute import prepare
from tests.data.test_images import noise, png_of_size

TRANSFORMS = [resize_antialiased, centre_crop]
ORIENTATION = 0x0112


def grey() -> np.ndarray:
    return np.random.default_rng(3).integers(256, size=(24, 30), dtype=np.uint8)


def turned_jpeg(path: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    Image.fromarray(np.stack([np.tile(ramp, (48, 1))] * 3, axis=-1)).save(path, exif=exif)
    return path


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.pgm"])
def test_sixteen_bits_are_scaled_to_eight(transform: Transform, name: str, tmp_path: Path) -> None:
    Image.fromarray(grey().astype(np.uint16) * 257).save(tmp_path / name)
    Image.fromarray(grey()).save(tmp_path / "flat.png")
    assert np.array_equal(
        read_square(tmp_path / name, 16, transform), read_square(tmp_path / "flat.png", 16, transform)
    )


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(transform: Transform, mode: str, tmp_path: Path) -> None:
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    image.paste((200, 0, 0, 255), (0, 0, 20, 10))
    if mode == "P":
        image.convert("P").save(tmp_path / "a.png", transparency=image.convert("P").getpixel((0, 19)))
    else:
        image.convert(mode).save(tmp_path / "a.png")
    pixels = read_square(tmp_path / "a.png", 20, transform)
    assert (pixels[15:] == 255).all() and pixels[:5].mean() < 128
    assert looks([tmp_path / "a.png"]).tolist() == [TRANSPARENT]


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "CMYK"])
def test_other_pictures_are_read_as_before(transform: Transform, mode: str, tmp_path: Path) -> None:
    image = noise(31, 20, "RGB").convert(mode)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image.save(path)
    with Image.open(path) as plain:
        assert np.array_equal(read_square(path, 16, transform), transform(plain, 16))
    assert looks([path]).tolist() == [0] and picture_stamps([path], "apply") == file_stamps([path])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_is_ignored_as_in_openclip_or_applied(orientation: int, tmp_path: Path) -> None:
    path = turned_jpeg(tmp_path / "a.jpg", orientation)
    with Image.open(path) as image:
        pixels = np.array(image)
    upright = {1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.transpose(1, 0, 2),
               6: np.rot90(pixels, -1), 7: np.rot90(pixels, 2).transpose(1, 0, 2), 8: np.rot90(pixels)}  # fmt: skip
    assert np.array_equal(read_square(path, 16, centre_crop), centre_crop(Image.fromarray(pixels), 16))
    expected = centre_crop(Image.fromarray(np.ascontiguousarray(upright[orientation])), 16)
    assert np.array_equal(read_square(path, 16, centre_crop, "apply"), expected)
    assert looks([path]).tolist() == [TURNED * (orientation > 1)]
    assert (picture_stamps([path], "apply") == file_stamps([path])) == (orientation == 1)
    assert picture_stamps([path], "ignore") == file_stamps([path])


def test_pictures_that_are_read_otherwise_have_a_store_of_their_own(tmp_path: Path) -> None:
    """A store that an earlier version made of them is not used, and neither is one without their orientation."""
    turned = turned_jpeg(tmp_path / "a.jpg", 6)
    for exif in ("ignore", "apply"):
        pictures = open_pictures([turned], 8, centre_crop, "on", exif)
        assert np.array_equal(pictures[0].permute(1, 2, 0), read_square(turned, 8, centre_crop, exif))
    assert len([*cache_folder().glob("images-*.u8")]) == 2


def test_a_run_counts_them_once_per_table(config: TrainConfig, pairs: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(9):
        Image.fromarray(grey()).save(images / f"{number}.png")
    for number in (2, 5):
        Image.fromarray(grey().astype(np.uint16) * 257).save(images / f"{number}.png")
    noise(20, 20, "RGBA").save(images / "3.png")
    turned_jpeg(images / "7.png", 6)
    assert looks([images / f"{number}.png" for number in range(9)]).tolist() == [
        0,
        0,
        DEEP,
        TRANSPARENT,
        0,
        DEEP,
        0,
        4,
        0,
    ]
    (tmp_path / "own.tsv").write_text(
        "image\tcaption\n" + "".join(f"{number}.png\tx {number}\n" for number in range(9))
    )
    both = {"train_tsv": tmp_path / "own.tsv", "train_image_dir": images}
    assert prepare(config.model_copy(update=both)) == [
        "training: 2 of 9 pictures have 16 bits per channel and are scaled to 8",
        "training: 1 of 9 pictures are transparent and are laid on white",
        "training: 1 of 9 pictures have an EXIF orientation, which is ignored as in OpenCLIP's evaluation "
        "(train.exif=apply turns them)",
    ]
    val = {"val_tsv": tmp_path / "own.tsv", "val_image_dir": images, "exif": "apply"}
    assert prepare(config.model_copy(update=val))[2:] == [
        "val: 1 of 9 pictures have an EXIF orientation and are turned by it"
    ]


def test_what_does_not_decode_is_named_with_its_reason(tmp_path: Path) -> None:
    noise(64, 48).save(tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    files = {
        "cut.jpg": content[: len(content) // 2],
        "empty.jpg": b"",
        "page.jpg": b"\n<!DOCTYPE html><html>404</html>",
    }
    for name, these in files.items():
        (tmp_path / name).write_bytes(these)
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(tmp_path / "float.tif")
    names = ["whole.jpg", *files, "float.tif"]
    for _ in range(2):  # found, then remembered
        found = {path.name: why for path, why in unreadable([tmp_path / name for name in names]).items()}
        assert list(found) == names[1:]
        assert "truncated" in found["cut.jpg"] and found["empty.jpg"] == "the file is empty"
        assert found["page.jpg"] == "it is an HTML page" and "32 bits" in found["float.tif"]
    assert picture_notes("x", [tmp_path / name for name in names], "ignore") == []


@pytest.mark.parametrize("size", [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (12_000, 10_000), (89_478_486, 1)])
def test_a_picture_beyond_pillows_limit_is_refused_before_it_takes_memory(
    size: tuple[int, int], tmp_path: Path
) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of_size(*size))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"bomb.png cannot be read as an image \(.*pixels") as caught:
            read_square(tmp_path / "bomb.png", 16, resize_antialiased)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


def test_no_file_is_given_to_ghostscript(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(InputError, match="cannot identify"):
        read_square(tmp_path / "a.jpg", 16, resize_antialiased)
