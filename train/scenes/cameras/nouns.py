"""Words for kinds, garments and what is carried; development and test sentences use some words that training never shows."""

from __future__ import annotations

from wsra.train.scenes.cameras.style import Split

# word -> what it names; "person", "vehicle" and "animal" name several kinds.
Words = dict[str, tuple[str, ...]]
_TRAIN: Words = {
    "man": ("man", "man", "guy"),
    "woman": ("woman", "woman", "lady"),
    "child": ("child", "kid"),
    "person": ("person", "person", "someone", "pedestrian"),
    "cyclist": ("cyclist", "person on a bicycle", "man on a bike"),
    "motorcycle": ("motorcycle", "motorbike"),
    "dog": ("dog",),
    "cat": ("cat",),
    "animal": ("animal",),
    "car": ("car", "car", "automobile"),
    "van": ("van", "van", "delivery van"),
    "truck": ("truck", "lorry"),
    "bus": ("bus",),
    "vehicle": ("vehicle",),
    "jacket": ("jacket",),
    "coat": ("coat",),
    "shirt": ("shirt",),
    "t-shirt": ("t-shirt",),
    "pullover": ("pullover", "sweater"),
    "hoodie": ("hoodie",),
    "cardigan": ("cardigan",),
    "top": ("top", "blouse"),
    "dress": ("dress",),
    "trousers": ("trousers", "pants"),
    "jeans": ("jeans",),
    "skirt": ("skirt",),
    "shorts": ("shorts",),
    "cap": ("cap", "hat"),
    "bag": ("bag", "handbag"),
    "backpack": ("backpack", "rucksack"),
}
_DEV: Words = _TRAIN | {
    "man": ("man", "man", "gentleman"),
    "woman": ("woman", "woman", "lady"),
    "child": ("child", "kid", "little kid"),
    "person": ("person", "somebody", "pedestrian"),
    "cyclist": ("cyclist", "bike rider", "somebody on a bicycle"),
    "motorcycle": ("motorbike", "motor bike"),
    "car": ("car", "car", "motor car"),
    "van": ("van", "minivan"),
    "truck": ("truck", "lorry", "delivery truck"),
    "bus": ("bus", "coach"),
    "pullover": ("pullover", "jumper"),
    "t-shirt": ("t-shirt", "tee shirt"),
    "cap": ("cap", "baseball cap"),
    "bag": ("bag", "shoulder bag"),
}
_TEST: Words = _TRAIN | {
    "man": ("man", "man", "male"),
    "woman": ("woman", "woman", "female"),
    "child": ("child", "kid", "small child"),
    "person": ("person", "someone", "individual"),
    "cyclist": ("cyclist", "bicyclist", "person riding a bike"),
    "motorcycle": ("motorcycle", "motorcycle", "motorbike"),
    "car": ("car", "car", "passenger car"),
    "van": ("van", "cargo van"),
    "truck": ("truck", "lorry", "heavy truck"),
    "bus": ("bus", "city bus"),
    "pullover": ("sweater", "sweatshirt"),
    "trousers": ("trousers", "slacks"),
    "hoodie": ("hoodie", "hooded sweatshirt"),
    "cap": ("hat", "cap"),
    "bag": ("bag", "purse"),
}
WORDS: dict[Split, Words] = {"train": _TRAIN, "val": _TRAIN, "dev": _DEV, "test": _TEST}
