"""Images: the evaluation crop against arithmetic, and files that are no images."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from simclip.data.images import ImageFiles, Transform, centre_crop, read_image, resize_antialiased
from simclip.errors import InputError
from simclip.train.config import TrainConfig
from simclip.train.load import load_data, load_model

TRANSFORMS = [resize_antialiased, centre_crop]


def noise(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    bands = 4 if mode in ("RGBA", "CMYK") else 3
    pixels = np.random.default_rng(seed).integers(256, size=(height, width, bands), dtype=np.uint8)
    if mode in ("RGBA", "CMYK"):
        return Image.frombytes(mode, (width, height), pixels.tobytes())
    return Image.fromarray(pixels).convert(mode)


def half_to_even(value: Fraction) -> int:
    floor = value.numerator // value.denominator
    rest = value - floor
    return floor + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and floor % 2 == 1))


@settings(max_examples=60)
@given(
    st.integers(1, 60), st.integers(1, 60), st.integers(1, 24), st.sampled_from(["RGB", "RGBA", "L", "P", "CMYK", "1"])
)
def test_centre_crop_is_openclips(width: int, height: int, size: int, mode: str) -> None:
    """Short side to `size`, long side in proportion and floored, offset rounded half to even, RGB at the end."""
    image = noise(width, height, mode)
    scale = Fraction(size, min(width, height))
    wide, high = int(width * scale), int(height * scale)
    resized = np.asarray(image.resize((wide, high), Image.Resampling.BICUBIC).convert("RGB"))
    left, top = half_to_even(Fraction(wide - size, 2)), half_to_even(Fraction(high - size, 2))
    assert np.array_equal(np.asarray(centre_crop(image, size)), resized[top : top + size, left : left + size])


@pytest.mark.parametrize(("extra", "offset"), [(0, 0), (1, 0), (2, 1), (3, 2), (5, 2), (7, 4), (9, 4)])
def test_offset_of_an_odd_margin_is_even(extra: int, offset: int) -> None:
    columns = np.broadcast_to(np.arange(10 + extra, dtype=np.uint8)[None, :, None], (10, 10 + extra, 3))
    image = Image.fromarray(np.ascontiguousarray(columns))
    assert np.asarray(centre_crop(image, 10))[0, :, 0].tolist() == list(range(offset, offset + 10))
    assert np.asarray(centre_crop(image.transpose(Image.Transpose.TRANSPOSE), 10))[0, 0, 0] == offset


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
@pytest.mark.parametrize("shape", [(31, 20), (20, 31), (1, 40), (16, 16)])
def test_every_mode_becomes_a_square_of_three_colours(
    transform: Transform, mode: str, shape: tuple[int, int], tmp_path: Path
) -> None:
    noise(*shape, mode=mode).save(tmp_path / "image.png")
    pixels = read_image(tmp_path / "image.png", 16, transform)
    assert pixels.shape == (3, 16, 16) and pixels.dtype == torch.uint8


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_decoded_at_reduced_size_is_nearly_the_same(mode: str, tmp_path: Path) -> None:
    """A smooth picture, so that what reduction averages is what resizing averages."""
    ramp = np.linspace(0, 255, 256)
    smooth = np.stack([np.add.outer(ramp, ramp) / 2, np.add.outer(ramp, 255 - ramp) / 2, np.full((256, 256), 99)], -1)
    Image.fromarray(smooth.astype(np.uint8)).convert(mode).save(tmp_path / "image.jpg", quality=95)
    reduced = read_image(tmp_path / "image.jpg", 32, resize_antialiased).float()
    with Image.open(tmp_path / "image.jpg") as image:
        whole = np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR))
    assert (reduced - torch.from_numpy(whole.copy()).permute(2, 0, 1)).abs().mean() < 2


def png_of_size(width: int, height: int) -> bytes:
    """A few bytes that claim to be a picture of that size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.fixture
def jpeg(tmp_path: Path) -> bytes:
    noise(64, 48).save(tmp_path / "whole.jpg")
    return (tmp_path / "whole.jpg").read_bytes()


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "head only", "unknown kind", "bomb"])
def test_what_is_no_image_is_named(transform: Transform, kind: str, jpeg: bytes, tmp_path: Path) -> None:
    content = {
        "empty": b"",
        "text": b"<html>not found</html>",
        "truncated": jpeg[: len(jpeg) // 2],
        "head only": jpeg[:200],
        "unknown kind": struct.pack("<4sIBBBBII", b"BLP2", 99, 0, 0, 0, 0, 4, 4) + bytes(2000),
        "bomb": png_of_size(60_000, 60_000),
    }
    path = tmp_path / "bad.jpg"
    path.write_bytes(content[kind])
    with pytest.raises(
        InputError, match=r"bad.jpg cannot be read as an image \(.*\): replace it, or .*=skip"
    ) as caught:
        read_image(path, 16, transform)
    assert "\n" not in str(caught.value)


def test_a_thread_that_grows_when_its_short_side_is_resized_is_a_bomb_too(tmp_path: Path) -> None:
    """One pixel by twenty thousand, a file of some bytes, would be 224 by 4,480,000."""
    Image.new("1", (1, 20_000)).save(tmp_path / "thin.png")
    with pytest.raises(InputError, match=r"thin.png cannot be read as an image \(too long and thin: 224x4480000"):
        read_image(tmp_path / "thin.png", 224, centre_crop)
    assert read_image(tmp_path / "thin.png", 224, resize_antialiased).shape == (3, 224, 224)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_decode_or_are_named(kind: str, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "image"
    noise(20, 15).save(path, kind)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        assert read_image(path, 8, resize_antialiased).shape == (3, 8, 8)
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_say_in_one_line_which_image_is_bad(workers: int, tmp_path: Path) -> None:
    """Also where another process decodes, whose errors come with their traceback as text."""
    names = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(names):
        noise(20, 20, seed=number).save(path)
    files = ImageFiles(names, 8, resize_antialiased)
    batches = [[4, 0], [1], [2, 2, 3]]
    loaded = list(files.batches(batches, workers))
    for rows, batch in zip(batches, loaded, strict=True):
        assert torch.equal(batch, torch.stack([read_image(names[row], 8, resize_antialiased) for row in rows]))
    names[2].write_bytes(b"no image")
    with pytest.raises(InputError, match=r"^\S*2\.png cannot be read as an image .*train\.bad_images=skip$") as caught:
        list(files.batches(batches, workers))
    assert "\n" not in str(caught.value)


def test_skip_drops_bad_rows_counts_them_and_replaces_none(config: TrainConfig, tmp_path: Path, jpeg: bytes) -> None:
    lines = ["image\tcaption1\tcaption2"]
    (tmp_path / "images").mkdir()
    for number in range(12):
        path = tmp_path / "images" / f"{number}.jpg"
        noise(64, 48, seed=number).save(path)
        if number in (0, 5, 11):
            path.write_bytes(jpeg[:300])
        lines.append(f"{path.name}\tcaption {number}\tanother {number}")
    (tmp_path / "pairs.tsv").write_text("\n".join(lines))
    changes = {"train_tsv": tmp_path / "pairs.tsv", "train_image_dir": tmp_path / "images", "bad_images": "skip"}
    config = config.model_copy(update=changes)
    clip = load_model(config)
    for _ in range(2):  # found, then remembered
        data = load_data(config, clip)
        assert len(data.skipped) == 3 and len(data) == 9
        assert [path.stem for path in data.table.images] == ["1", "2", "3", "4", "6", "7", "8", "9", "10"]
        assert data.table.captions[6:10] == ["caption 4", "another 4", "caption 6", "another 6"]
    with pytest.raises(InputError, match=r"0\.jpg cannot be read"):
        load_data(config.model_copy(update={"bad_images": "error"}), clip)
    changes = {"bad_images": "error", "image_store": "off"}
    strict = load_data(config.model_copy(update=changes), clip)
    assert not strict.skipped and len(strict) == 12
    with pytest.raises(InputError, match=r"0\.jpg cannot be read"):
        strict.images[0]
    with pytest.raises(InputError, match="the training set has 9 rows, fewer than batch_size 10: give more pairs"):
        load_data(config.model_copy(update={"batch_size": 10}), clip)


def test_batches_do_not_touch_the_global_generator(tmp_path: Path) -> None:
    noise(20, 20).save(tmp_path / "a.png")
    before = torch.get_rng_state()
    for workers in (0, 1):
        list(ImageFiles([tmp_path / "a.png"], 8, resize_antialiased).batches([[0], [0, 0]], workers))
    assert torch.equal(torch.get_rng_state(), before)
