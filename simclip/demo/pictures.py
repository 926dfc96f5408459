"""Drawing of demo pictures: scenes and flags, 48 x 48 pixels."""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw

from simclip.demo.canvas import DETAIL, RGB, Canvas, darker
from simclip.demo.flags import NATIONS, Flag
from simclip.demo.scenes import Boat, Couple, Group, House, Scene

COLOURS: dict[str, RGB] = {
    "red": (214, 44, 50),
    "orange": (242, 138, 30),
    "yellow": (248, 212, 58),
    "green": (46, 158, 78),
    "blue": (46, 100, 210),
    "purple": (126, 66, 172),
    "pink": (242, 134, 178),
    "brown": (126, 80, 46),
    "white": (246, 246, 244),
}
GROUNDS: dict[str, RGB] = {
    "white": (247, 247, 245),
    "grey": (160, 165, 172),
    "black": (34, 34, 40),
    "mint": (184, 232, 208),
    "sand": (230, 206, 154),
}
SKIES: dict[str, RGB] = {"sun": (150, 208, 246), "cloud": (176, 188, 204), "moon": (30, 36, 78)}
LANDS: dict[str, RGB] = {"grass": (112, 186, 86), "snow": (232, 240, 250), "sand": (232, 208, 150)}
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}


def draw(subject: Scene | Flag, rng: random.Random) -> Image.Image:
    """Draw a scene or flag: RGB, 48 x 48 pixels. Positions, sizes and shades vary slightly with `rng`."""
    canvas = Canvas(rng)
    match subject:
        case Couple():
            _couple(canvas, subject)
        case Group():
            _group(canvas, subject)
        case House():
            _house(canvas, subject)
        case Boat():
            _boat(canvas, subject)
        case Flag():
            _flag(canvas, subject)
    return canvas.finished()


def _couple(canvas: Canvas, scene: Couple) -> None:
    canvas.ground(GROUNDS[scene.ground])
    across = canvas.near(24, 4)
    for along, size, colour, shape in (
        (13.2, scene.first_size, scene.first_colour, scene.first_shape),
        (34.8, scene.second_size, scene.second_colour, scene.second_shape),
    ):
        along, beside = canvas.near(along, 0.8), canvas.near(across, 3)
        x, y = (along, beside) if scene.relation == "left" else (beside, along)
        canvas.thing(shape, COLOURS[colour], x, y, canvas.near({"small": 5.4, "big": 9.8}[size], 0.4))


def _group(canvas: Canvas, scene: Group) -> None:
    canvas.ground(GROUNDS[scene.ground])
    count = NUMBERS[scene.number]
    x, y, start = canvas.near(24, 1.5), canvas.near(24, 1.5), canvas.rng.uniform(0, 2 * math.pi)
    for i in range(count):
        angle, step = start + 2 * math.pi * i / count, 9 * (i - (count - 1) / 2)
        dx, dy = {
            "row": (step, 0.0),
            "column": (0.0, step),
            "circle": (12.5 * math.cos(angle), 12.5 * math.sin(angle)),
        }[scene.arrangement]
        centre = canvas.near(x + dx, 0.2), canvas.near(y + dy, 0.2)
        canvas.thing(scene.shape, COLOURS[scene.colour], *centre, 3.7)


def _sky(canvas: Canvas, sky: str, x: float) -> None:
    canvas.ground(SKIES[sky])
    x, y = canvas.near(x, 2), canvas.near(8, 1)
    match sky:
        case "sun":
            canvas.disc(x, y, 5, (255, 232, 130))
            canvas.disc(x, y, 4, (255, 206, 50))
        case "cloud":
            for dx, dy, radius in ((-5, 1, 3), (0, -1, 4.2), (5, 1, 3.2)):
                canvas.disc(x + dx, y + dy, radius, (242, 244, 248))
        case "moon":
            canvas.disc(x, y, 4.6, (246, 240, 200))
            canvas.disc(x + 2.4, y - 1.4, 4, SKIES["moon"])


def _house(canvas: Canvas, scene: House) -> None:
    _sky(canvas, scene.sky, canvas.rng.choice((9, 39)))
    floor = canvas.near(37, 1)
    canvas.ground(LANDS[scene.land], floor)
    x, base = canvas.near(24, 1.5), floor + 4
    if scene.tree != "none":
        stem = x + (-17 if scene.tree == "left" else 17)
        canvas.polygon([(stem - 1, base), (stem - 1, 30), (stem + 1, 30), (stem + 1, base)], (104, 72, 48))
        for dx, dy, radius in ((-2.4, 2, 3.4), (2.4, 2, 3.4), (0, -2, 4)):
            canvas.disc(stem + dx, 28 + dy, radius, (40, 120, 60))
    walls, roof = canvas.shade(COLOURS[scene.walls]), canvas.shade(COLOURS[scene.roof])
    canvas.polygon([(x - 9, base), (x - 9, 25), (x + 9, 25), (x + 9, base)], walls)
    canvas.polygon([(x - 11.5, 26), (x - 6, 16), (x + 6, 16), (x + 11.5, 26)], roof)
    canvas.polygon([(x - 6, base), (x - 6, 32), (x - 1, 32), (x - 1, base)], darker(walls, 0.5))
    canvas.polygon([(x + 2, 34), (x + 2, 29), (x + 7, 29), (x + 7, 34)], (255, 246, 200))


def _boat(canvas: Canvas, scene: Boat) -> None:
    ahead = -1 if scene.heading == "left" else 1
    x, sea = canvas.near(24, 2.5), canvas.near(35, 1)
    _sky(canvas, scene.sky, canvas.rng.choice((8, 40)))
    ink = (240, 240, 240) if scene.sky == "moon" else (40, 44, 60)
    start = canvas.near(21, 2)
    for i in range(NUMBERS[scene.birds]):
        bx, by = start + 6.5 * (i - 0.5), canvas.near(6 + 3 * (i % 2), 0.6)
        wings = [(bx - 2.4, by - 1.6), (bx, by), (bx + 2.4, by - 1.6)]
        canvas.pen.line([(px * DETAIL, py * DETAIL) for px, py in wings], fill=ink, width=DETAIL, joint="curve")
    canvas.ground((46, 122, 176), sea)
    mast = x - 2 * ahead
    canvas.polygon([(mast - 0.6, sea), (mast - 0.6, 13), (mast + 0.6, 13), (mast + 0.6, sea)], (90, 66, 48))
    sail = [(mast + ahead, 14), (mast + 14 * ahead, sea - 4), (mast + ahead, sea - 4)]
    canvas.polygon(sail, canvas.shade(COLOURS[scene.sail]))
    hull = [(x - 12 * ahead, sea - 2), (x + 16 * ahead, sea - 2), (x + 9 * ahead, sea + 5), (x - 9 * ahead, sea + 5)]
    canvas.polygon(hull, canvas.shade(COLOURS[scene.hull]))
    for i in range(3):
        crest, depth = canvas.rng.uniform(4, 44), sea + 6 + 2.4 * i
        canvas.polygon([(crest - 4, depth), (crest, depth - 1), (crest + 4, depth)], (120, 184, 222))


def _flag(canvas: Canvas, flag: Flag) -> None:
    canvas.ground(canvas.rng.choice([*SKIES.values(), *LANDS.values()]))
    left, top = canvas.near(8, 2), canvas.near(9, 3)
    width, height = canvas.near(31, 2.5), canvas.near(20, 2)
    pole = [(left - 1.6, 48), (left - 1.6, top - 3), (left, top - 3), (left, 48)]
    canvas.polygon([(x, y) for x, y in pole], (120, 96, 72))
    cloth = _cloth(flag.nation, round(width * DETAIL), round(height * DETAIL), canvas)
    phase = canvas.rng.uniform(0, 2 * math.pi)
    for column in range(cloth.width):
        swing = column / cloth.width
        lift = round(1.6 * DETAIL * swing * math.sin(phase + 7 * swing))
        strip = cloth.crop((column, 0, column + 1, cloth.height))
        canvas.image.paste(strip, (round(left * DETAIL) + column, round(top * DETAIL) + lift))


def _cloth(nation: str, width: int, height: int, canvas: Canvas) -> Image.Image:
    """Draw a nation's flag, flat; sizes are in pixels of the canvas."""
    layout, first, second = NATIONS[nation]
    cloth = Image.new("RGB", (width, height), canvas.shade(COLOURS[first]))
    pen, other = ImageDraw.Draw(cloth), canvas.shade(COLOURS[second])
    middle, centre = width / 2, height / 2
    match layout:
        case "halves":
            pen.rectangle((middle, 0, width, height), fill=other)
        case "bands":
            pen.rectangle((0, centre, width, height), fill=other)
        case "diagonal":
            pen.polygon([(0, height), (width, 0), (width, height)], fill=other)
        case "disc":
            radius = 0.32 * height
            pen.ellipse((middle - radius, centre - radius, middle + radius, centre + radius), fill=other)
        case "cross":
            arm = 0.14 * height
            pen.rectangle((0.36 * width - arm, 0, 0.36 * width + arm, height), fill=other)
            pen.rectangle((0, centre - arm, width, centre + arm), fill=other)
    return cloth
