"""The canvas of demo pictures: four times their size, then reduced, so that edges are smooth at 48 pixels."""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw

SIDE = 48
DETAIL = 4
RGB = tuple[int, int, int]
Point = tuple[float, float]


class Canvas:
    """A picture while it is drawn. Lengths are in pixels of the finished picture."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.image = Image.new("RGB", (SIDE * DETAIL, SIDE * DETAIL))
        self.pen = ImageDraw.Draw(self.image)

    def finished(self) -> Image.Image:
        """The finished picture, RGB, 48 x 48 pixels."""
        return self.image.reduce(DETAIL)

    def near(self, value: float, spread: float) -> float:
        """Draw a length within `spread` of `value`."""
        return value + self.rng.uniform(-spread, spread)

    def shade(self, colour: RGB) -> RGB:
        """Draw a slightly lighter or darker shade of a colour."""
        light = self.rng.uniform(0.93, 1.05)
        red, green, blue = (min(255, round(each * light)) for each in colour)
        return red, green, blue

    def ground(self, colour: RGB, top: float = 0) -> None:
        """Fill everything below `top`, darker towards the bottom."""
        colour = self.shade(colour)
        for y in range(round(top * DETAIL), self.image.height):
            self.pen.line([(0, y), (self.image.width, y)], fill=darker(colour, 1 - 0.12 * y / self.image.height))

    def polygon(self, points: list[Point], colour: RGB) -> None:
        """Fill a polygon and draw its edge slightly darker."""
        scaled = [(x * DETAIL, y * DETAIL) for x, y in points]
        self.pen.polygon(scaled, fill=colour, outline=darker(colour, 0.78), width=DETAIL // 2)

    def disc(self, x: float, y: float, radius: float, colour: RGB) -> None:
        """Fill a disc."""
        box = [each * DETAIL for each in (x - radius, y - radius, x + radius, y + radius)]
        self.pen.ellipse(box, fill=colour)

    def thing(self, shape: str, colour: RGB, x: float, y: float, radius: float) -> None:
        """Draw a shape around (x, y), rotated by a few degrees."""
        colour, turn = self.shade(colour), math.radians(self.rng.uniform(-7, 7))
        sine, cosine = math.sin(turn) * radius, math.cos(turn) * radius
        points = [(x + u * cosine - v * sine, y + u * sine + v * cosine) for u, v in outline(shape)]
        if shape == "ring":
            closed = [(px * DETAIL, py * DETAIL) for px, py in (*points, *points[:2])]
            self.pen.line(closed, fill=colour, width=round(0.5 * radius * DETAIL), joint="curve")
        else:
            self.polygon(points, colour)


def outline(shape: str) -> list[Point]:
    """The corners of a shape of about unit radius around (0, 0); for a ring, the centre of its line."""
    turns = [2 * math.pi * i / 40 for i in range(40)]
    circle = [(math.sin(t), -math.cos(t)) for t in turns]
    heart = [
        (math.sin(t) ** 3, -13 * math.cos(t) + 5 * math.cos(2 * t) + 2 * math.cos(3 * t) + math.cos(4 * t))
        for t in turns
    ]
    shapes: dict[str, list[Point]] = {
        "circle": circle,
        "ring": [(0.74 * u, 0.74 * v) for u, v in circle],
        "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
        "triangle": [(0, -1), (1, 0.8), (-1, 0.8)],
        "diamond": [(0, -1.1), (0.72, 0), (0, 1.1), (-0.72, 0)],
        "star": [
            ((1.1, 0.48)[i % 2] * math.sin(math.pi * i / 5), -(1.1, 0.48)[i % 2] * math.cos(math.pi * i / 5))
            for i in range(10)
        ],
        "cross": [
            *[(-0.32, -1), (0.32, -1), (0.32, -0.32), (1, -0.32), (1, 0.32), (0.32, 0.32)],
            *[(0.32, 1), (-0.32, 1), (-0.32, 0.32), (-1, 0.32), (-1, -0.32), (-0.32, -0.32)],
        ],
        "heart": [(u, v / 15) for u, v in heart],
    }
    return shapes[shape]


def darker(colour: RGB, factor: float) -> RGB:
    """Multiply a colour by a factor in [0, 1]."""
    red, green, blue = (round(each * factor) for each in colour)
    return red, green, blue
