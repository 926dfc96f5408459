import random
import re

import pytest

from simclip.demo.captions import TEMPLATES, captions, words
from simclip.demo.dataset import split
from simclip.demo.flags import NATIONS, Flag
from simclip.demo.scenes import Boat, Couple, Group, House, Scene

THING = r"(?P<{0}>(?:small|big) \w+ \w+)"
SAID = re.compile(f"{THING.format('one')} (?:is )?(?P<relation>[a-z ]+?) (?:a|the) {THING.format('two')}")
INVERSE = {"right": "left", "below": "above", "under": "above"}


def scenes(kind: type[Scene]) -> list[Scene]:
    return [scene for scene in split()[1] if isinstance(scene, kind)]


def said(scene: Scene) -> list[str]:
    return captions(scene, random.Random(f"{scene}"))


def test_a_couples_captions_say_which_thing_is_where() -> None:
    for scene in scenes(Couple):
        assert isinstance(scene, Couple)
        first = f"{scene.first_size} {scene.first_colour} {scene.first_shape}"
        second = f"{scene.second_size} {scene.second_colour} {scene.second_shape}"
        for caption in said(scene):
            found = SAID.search(caption)
            assert found, caption
            relation = re.sub("to the | of", "", found["relation"])
            one, two = found["one"], found["two"]
            if relation in INVERSE:
                relation, one, two = INVERSE[relation], two, one
            assert (one, relation.replace("over", "above"), two) == (first, scene.relation, second), caption
            assert scene.ground in caption


def test_a_groups_captions_say_how_many_of_what() -> None:
    for scene in scenes(Group):
        assert isinstance(scene, Group)
        for caption in said(scene):
            found = set(re.findall(r"\w+", caption))
            assert {scene.number, scene.colour, scene.arrangement, scene.ground} <= found
            assert any(word.startswith(scene.shape) and word.endswith("s") for word in found)


def test_a_houses_captions_tell_walls_from_roof() -> None:
    for scene in scenes(House):
        assert isinstance(scene, House)
        for caption in said(scene):
            assert f"{scene.walls} house" in caption or f"{scene.walls} walls" in caption
            assert re.search(f"{scene.roof} roof|roof (is )?{scene.roof}", caption)
            assert scene.land in caption and f"the {scene.sky}" in caption
            side = re.search(r"a tree (?:on the|to its) (\w+)", caption)
            assert (side[1] if side else "none") == scene.tree


def test_a_boats_captions_tell_hull_from_sail() -> None:
    for scene in scenes(Boat):
        assert isinstance(scene, Boat)
        for caption in said(scene):
            assert f"{scene.hull} boat" in caption or f"{scene.hull} hull" in caption
            assert re.search(f"{scene.sail} sail|sail {scene.sail}", caption)
            assert re.search(f"(heading|sails|sailing|going) {scene.heading}", caption)
            assert f"{scene.birds} bird" in caption and f"the {scene.sky}" in caption


def test_scenes_that_differ_never_share_a_caption() -> None:
    owner: dict[str, Scene] = {}
    for scene in (*split()[0], *split()[1]):
        for caption in said(scene):
            assert owner.setdefault(caption, scene) == scene


@pytest.mark.parametrize("nation", NATIONS)
def test_a_flags_captions_name_its_nation(nation: str) -> None:
    assert all(nation in caption for caption in captions(Flag(nation), random.Random(0)))


def test_every_kind_has_at_least_as_many_templates_as_captions() -> None:
    assert all(len(set(templates)) >= 5 for templates in TEMPLATES.values())


def test_articles_agree() -> None:
    every = [caption for scene in split()[0] for caption in said(scene)]
    assert not [caption for caption in every if re.search(r"\ba [aeiou]|\ban [^aeiou]", caption)]


def test_words_cover_captions() -> None:
    used = {word for scene in split()[0] for caption in said(scene) for word in re.findall(r"\w+|,", caption)}
    assert used <= set(words())
