"""Rendered scenes nearer to real cameras than those of `wsra demo`: more kinds, garments, views, light and things that mean nothing.

`look` says how things look and what may be said of them; `camera`, `paths` and `world` who passes where and when. `pen`, `people`,
`riders`, `animals`, `vehicles`, `cloth` and `body` paint them; `backdrop`, `furniture`, `nuisances` and `light` what is around them.
`nouns`, `wording`, `agreement` and `truth` put them into sentences with spans, `sentences` makes rows of these, `render` writes the files.
"""
