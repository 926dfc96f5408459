"""Pictures are judged by their pixels: which colour lies where, found by the nearest colour of the palette."""

import random
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import label

from simclip.demo.dataset import split
from simclip.demo.flags import NATIONS, Flag
from simclip.demo.pictures import COLOURS, GROUNDS, draw
from simclip.demo.scenes import OPTIONS, Boat, Couple, Group, House, Scene

NAMED = {name: rgb for name, rgb in COLOURS.items() if name != "white"}


def pixels(subject: Scene | Flag, seed: int = 0) -> np.ndarray:
    return np.asarray(draw(subject, random.Random(seed)), dtype=float)


def pixels_of(picture: np.ndarray, colour: str, tolerance: float = 40) -> np.ndarray:
    """Where a picture has a colour, [48, 48] bool."""
    return np.linalg.norm(picture - COLOURS[colour], axis=-1) < tolerance


def val(kind: type[Scene]) -> list[Scene]:
    return [scene for scene in split()[1] if isinstance(scene, kind)][:64]


def test_the_first_thing_of_a_couple_lies_left_of_or_above_the_second() -> None:
    for scene in val(Couple):
        assert isinstance(scene, Couple)
        clear = replace(scene, first_colour="red", second_colour="blue", ground="white")
        picture = pixels(clear)
        first, second = (np.argwhere(pixels_of(picture, colour)).mean(0) for colour in ("red", "blue"))
        axis = 1 if scene.relation == "left" else 0
        assert first[axis] < second[axis] - 10


@pytest.mark.parametrize("shape", OPTIONS[Group]["shape"])
def test_big_is_bigger_than_small(shape: str) -> None:
    other = "circle" if shape != "circle" else "square"
    scene = Couple("big", "red", shape, "left", "small", "blue", other, "white")  # type: ignore[arg-type]
    small = replace(scene, first_size="small")
    assert pixels_of(pixels(scene), "red").sum() > 2 * pixels_of(pixels(small), "red").sum()


@pytest.mark.parametrize("shape", OPTIONS[Group]["shape"])
@pytest.mark.parametrize("arrangement", OPTIONS[Group]["arrangement"])
def test_a_group_has_its_number_of_things(shape: str, arrangement: str) -> None:
    for count, number in enumerate(OPTIONS[Group]["number"], start=2):
        picture = pixels(Group(number, "blue", shape, arrangement, "white"), seed=count)  # type: ignore[arg-type]
        things, _ = label(pixels_of(picture, "blue", 110))
        assert (np.bincount(things.ravel())[1:] > 5).sum() == count  # a star's tip may come off


def test_the_ground_is_the_one_named() -> None:
    for scene in val(Group):
        assert isinstance(scene, Group)
        edge = np.median(pixels(scene)[[0, 0, -1, -1], [0, -1, 0, -1]], axis=0)
        assert min(GROUNDS, key=lambda name: float(np.linalg.norm(edge - GROUNDS[name]))) == scene.ground


def test_the_roof_lies_above_the_walls_and_a_tree_on_its_side() -> None:
    for scene in val(House):
        assert isinstance(scene, House)
        clear = replace(scene, walls="yellow", roof="purple", land="snow")
        picture = pixels(clear)
        roof, walls = (np.argwhere(pixels_of(picture, colour)).mean(0) for colour in ("purple", "yellow"))
        assert roof[0] < walls[0] - 5
        leaves = np.linalg.norm(picture - (40, 120, 60), axis=-1) < 30
        side = "none" if leaves.sum() < 10 else "left" if np.argwhere(leaves).mean(0)[1] < 24 else "right"
        assert side == scene.tree


def test_the_sail_lies_above_the_hull_and_points_where_the_boat_is_heading() -> None:
    for scene in val(Boat):
        assert isinstance(scene, Boat)
        picture = pixels(replace(scene, hull="red", sail="yellow", sky="cloud"))
        hull, sail = (np.argwhere(pixels_of(picture, colour)) for colour in ("red", "yellow"))
        assert sail.mean(0)[0] < hull.mean(0)[0] - 5
        top, foot = sail[sail[:, 0].argmin()], sail.mean(0)
        assert (foot[1] < top[1]) == (scene.heading == "left")


@pytest.mark.parametrize("nation", NATIONS)
def test_a_flag_shows_both_colours_of_its_nation(nation: str) -> None:
    _, first, second = NATIONS[nation]
    for seed in range(5):
        picture = pixels(Flag(nation), seed)
        assert min(pixels_of(picture, first).sum(), pixels_of(picture, second).sum()) > 25


def test_no_two_nations_share_a_flag() -> None:
    assert len(set(NATIONS.values())) == len(NATIONS) == 10


def test_pictures_of_one_scene_vary_with_the_generator_alone() -> None:
    scene = split()[0][0]
    assert (pixels(scene, 1) == pixels(scene, 1)).all()
    assert (pixels(scene, 1) != pixels(scene, 2)).any()


def test_colours_are_far_apart() -> None:
    for name, rgb in NAMED.items():
        others = [np.linalg.norm(np.subtract(rgb, other)) for key, other in NAMED.items() if key != name]
        assert min(others) > 60
