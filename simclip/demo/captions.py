"""Captions of demo scenes: several complete descriptions of a picture, and the vocabulary they use."""

from __future__ import annotations

import random
import re

from simclip.demo.flags import NATIONS, Flag
from simclip.demo.scenes import OPTIONS, Boat, Couple, Group, House, Scene

COUPLE = (
    "a {first} {relation} a {second} on a {ground} ground",
    "a {second} {inverse} a {first} on a {ground} ground",
    "there is a {first} {relation} a {second} on {ground}",
    "on a {ground} background, a {second} {inverse} a {first}",
    "{ground} picture of a {first} {relation} a {second}",
    "the {second} is {inverse} the {first}, all on {ground}",
    "the {first} is {relation} the {second} on a {ground} background",
)
RELATIONS = {
    "left": (("left of", "to the left of"), ("right of", "to the right of")),
    "above": (("above", "over"), ("below", "under")),
}
GROUP = (
    "{number} {colour} {shapes} in a {arrangement} on a {ground} ground",
    "a {arrangement} of {number} {colour} {shapes} on {ground}",
    "there are {number} {colour} {shapes} on a {ground} background, in a {arrangement}",
    "{ground} picture of {number} {colour} {shapes} in a {arrangement}",
    "{shapes} in a {arrangement} on {ground}, {number} of them, all {colour}",
    "on a {ground} ground, a {arrangement} of {colour} {shapes}, {number} in all",
)
PLURALS = {shape: f"{shape}es" if shape == "cross" else f"{shape}s" for shape in OPTIONS[Group]["shape"]}
HOUSE = (
    "a {walls} house with a {roof} roof on {land} under the {sky}, {tree}",
    "a house with {walls} walls and a {roof} roof, {tree}, {land} and the {sky}",
    "the {sky} over a {walls} house with a {roof} roof on {land}, {tree}",
    "{land}, {tree} and a {walls} house, its roof {roof}, under the {sky}",
    "under the {sky} there is a {roof} roof on a {walls} house on {land}, {tree}",
    "picture of a {walls} house on {land}, its roof is {roof}, the {sky} above, {tree}",
)
TREES = {
    "left": ("a tree on the left", "a tree to its left"),
    "right": ("a tree on the right", "a tree to its right"),
    "none": ("no tree", "without a tree"),
}
BOAT = (
    "a {hull} boat with a {sail} sail heading {heading} under the {sky}, {birds}",
    "a boat with a {sail} sail and a {hull} hull sails {heading}, {birds}, the {sky} above",
    "{birds} over a {hull} boat heading {heading}, its sail {sail}, under the {sky}",
    "the {sky} over a boat sailing {heading}, {birds}, a {hull} hull and a {sail} sail",
    "at sea under the {sky}, {birds} and a {hull} boat with a {sail} sail going {heading}",
    "picture of a {sail} sail on a {hull} boat going {heading}, {birds} and the {sky}",
)
BIRDS = {"one": "one bird", "two": "two birds", "three": "three birds"}
FLAG = (
    "the flag of {nation}",
    "a flag of {nation} on a pole",
    "the flag of {nation} in the wind",
    "picture of a flag from {nation}",
    "the colours of {nation} on a flag",
)
#: Words of zero-shot prompts that no caption has.
PROMPT_WORDS = ("photo", "image", "drawing", "an", "this", ".")
PER_PICTURE = 5


TEMPLATES: dict[type[Scene | Flag], tuple[str, ...]] = {
    Couple: COUPLE,
    Group: GROUP,
    House: HOUSE,
    Boat: BOAT,
    Flag: FLAG,
}


def captions(subject: Scene | Flag, rng: random.Random) -> list[str]:
    """Write five captions of one picture; each names every attribute of the scene, or the nation of the flag."""
    templates = rng.sample(TEMPLATES[type(subject)], PER_PICTURE)
    return [_with_articles(template.format(**_slots(subject, rng))) for template in templates]


def words() -> list[str]:
    """Every word and punctuation mark that a caption or prompt of the demo can contain, sorted."""
    texts = [text for templates in TEMPLATES.values() for text in templates]
    texts += [value for attributes in OPTIONS.values() for values in attributes.values() for value in values]
    texts += [text for both in RELATIONS.values() for each in both for text in each]
    texts += [text for each in TREES.values() for text in each]
    texts += [*PLURALS.values(), *BIRDS.values(), *NATIONS, *PROMPT_WORDS]
    return sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", re.sub(r"\{\w+\}", " ", text))})


def _slots(subject: Scene | Flag, rng: random.Random) -> dict[str, str]:
    """The values of a template's placeholders."""
    slots = dict(vars(subject))
    match subject:
        case Couple():
            slots["first"] = f"{subject.first_size} {subject.first_colour} {subject.first_shape}"
            slots["second"] = f"{subject.second_size} {subject.second_colour} {subject.second_shape}"
            relation, inverse = RELATIONS[subject.relation]
            slots |= {"relation": rng.choice(relation), "inverse": rng.choice(inverse)}
        case Group():
            slots["shapes"] = PLURALS[subject.shape]
        case House():
            slots["tree"] = rng.choice(TREES[subject.tree])
        case Boat():
            slots["birds"] = BIRDS[subject.birds]
    return slots


def _with_articles(text: str) -> str:
    """Correct articles: 'a orange roof' becomes 'an orange roof'."""
    return re.sub(r"\ba (?=[aeiou])", "an ", text)
