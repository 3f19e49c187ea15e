"""Rendered scenes nearer to real cameras than those of `wsra demo`: more kinds, garments, views and light, and distractors.

`look` defines how actors look and what sentences may mention; `camera`, `paths` and `world` decide who passes where and when. `pen`,
`people`, `riders`, `animals`, `vehicles`, `cloth` and `body` paint the actors; `backdrop`, `furniture`, `nuisances` and `light` paint what
surrounds them. `nouns`, `wording`, `agreement` and `truth` describe them in sentences with spans, `sentences` makes rows of these, and
`render` writes the files.
"""
