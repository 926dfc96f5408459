"""Scenes of the demo: their attributes, and families of scenes that differ in one attribute."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice, product
from typing import Literal, get_args, get_type_hints

Colour = Literal["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown"]
Shape = Literal["circle", "square", "triangle", "star", "heart", "diamond", "ring", "cross"]
Size = Literal["small", "big"]
Ground = Literal["white", "grey", "black", "mint", "sand"]
Sky = Literal["sun", "cloud", "moon"]


class Scene:
    """The content of a picture. Subclasses are frozen dataclasses whose fields are attributes with a few values."""

    def is_sound(self) -> bool:
        """Whether the parts differ, so that swapping their attributes gives another scene."""
        return True


@dataclass(frozen=True)
class Couple(Scene):
    """Two things, the first left of or above the second, of different colours and shapes."""

    first_size: Size
    first_colour: Colour
    first_shape: Shape
    relation: Literal["left", "above"]
    second_size: Size
    second_colour: Colour
    second_shape: Shape
    ground: Ground

    def is_sound(self) -> bool:  # noqa: D102
        return self.first_colour != self.second_colour and self.first_shape != self.second_shape


@dataclass(frozen=True)
class Group(Scene):
    """Several things of one kind."""

    number: Literal["two", "three", "four", "five"]
    colour: Colour
    shape: Shape
    arrangement: Literal["row", "column", "circle"]
    ground: Ground


@dataclass(frozen=True)
class House(Scene):
    """A house in a landscape."""

    walls: Colour
    roof: Colour
    tree: Literal["left", "right", "none"]
    land: Literal["grass", "snow", "sand"]
    sky: Sky

    def is_sound(self) -> bool:  # noqa: D102
        return self.walls != self.roof


@dataclass(frozen=True)
class Boat(Scene):
    """A sailing boat at sea, with birds."""

    hull: Colour
    sail: Colour
    heading: Literal["left", "right"]
    birds: Literal["one", "two", "three"]
    sky: Sky

    def is_sound(self) -> bool:  # noqa: D102
        return self.hull != self.sail


#: The kinds of scenes in the order in which they take turns: half of a sample are couples.
KINDS: tuple[type[Scene], ...] = (Couple, Group, Couple, House, Couple, Boat)
#: Possible values of each attribute, by kind of scene.
OPTIONS: dict[type[Scene], dict[str, tuple[str, ...]]] = {
    kind: {name: get_args(hint) for name, hint in get_type_hints(kind).items()} for kind in KINDS
}
#: Pairs of attributes that can be swapped, by kind of scene and type of attribute.
SWAPS: dict[type[Scene], dict[str, tuple[str, str]]] = {
    Couple: {name: (f"first_{name}", f"second_{name}") for name in ("colour", "shape", "size")},
    House: {"colour": ("walls", "roof")},
    Boat: {"colour": ("hull", "sail")},
}
#: The base model is trained on scenes of KNOWN_KINDS without any value in UNKNOWN.
KNOWN_KINDS: tuple[type[Scene], ...] = (Couple, Group)
UNKNOWN = {"orange", "purple", "pink", "brown", "star", "heart", "ring", "cross", "four", "five", "mint", "sand"}


def attributes(scene: Scene) -> dict[str, str]:
    """The value of each attribute of a scene."""
    return dict(vars(scene))


def random_scene(kind: type[Scene], rng: random.Random) -> Scene:
    """Draw a scene with random attributes; it may be unsound."""
    return kind(**{name: rng.choice(each) for name, each in OPTIONS[kind].items()})


def with_other_detail(scene: Scene, rng: random.Random) -> Scene:
    """Change one random attribute of a scene; the result may be unsound."""
    details = attributes(scene)
    name, choices = rng.choice(list(OPTIONS[type(scene)].items()))
    return type(scene)(**details | {name: rng.choice([each for each in choices if each != details[name]])})


def swapped(scene: Scene) -> dict[str, Scene]:
    """Other scenes that result from swapping two attributes, by type of attribute."""
    details = attributes(scene)
    others = {
        name: type(scene)(**details | {one: details[two], two: details[one]})
        for name, (one, two) in SWAPS.get(type(scene), {}).items()
    }
    return {name: other for name, other in others.items() if other != scene}


def known_scenes() -> set[Scene]:
    """Every scene that can be in the base model's training data."""
    known = {kind: [set(each) - UNKNOWN for each in OPTIONS[kind].values()] for kind in KNOWN_KINDS}
    return {kind(*values) for kind, each in known.items() for values in product(*each)}


def _fresh(draw: Callable[[], Scene], taken: set[Scene]) -> Scene:
    """Draw until a scene is sound and not taken; add it to `taken`."""
    while True:
        scene = draw()
        if scene.is_sound() and scene not in taken:
            taken.add(scene)
            return scene


def families(count: int, size: int, rng: random.Random, taken: set[Scene]) -> list[list[Scene]]:
    """Draw families of scenes: a first scene and others that differ from it in one attribute.

    Args:
        count: Number of families; the kinds of scene take turns.
        size: Number of scenes in a family.
        rng: Source of all randomness.
        taken: Scenes that must not occur; the returned scenes are added.
    """
    return [_family(kind, size, rng, taken) for kind in islice(cycle(KINDS), count)]


def _family(kind: type[Scene], size: int, rng: random.Random, taken: set[Scene]) -> list[Scene]:
    first = _fresh(lambda: random_scene(kind, rng), taken)
    return [first, *(_fresh(lambda: with_other_detail(first, rng), taken) for _ in range(size - 1))]


def unrelated(
    count: int, rng: random.Random, taken: set[Scene], kinds: Iterable[type[Scene]], unknown: set[str]
) -> Iterator[Scene]:
    """Yield scenes that are not taken and have no unknown attribute value; repeats are allowed."""
    for kind in islice(cycle(kinds), count):
        while True:
            scene = random_scene(kind, rng)
            if scene.is_sound() and scene not in taken and unknown.isdisjoint(attributes(scene).values()):
                yield scene
                break
