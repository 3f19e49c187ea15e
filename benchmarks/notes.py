"""How often does `wsra ground` put a note beside a sentence: ordinary sentences, and sixty of the kinds that the notes are for.

    python benchmarks/notes.py TRAIN.jsonl objects|snippets [NAME=SENTENCES ...]

TRAIN.jsonl are training captions, whose vocabulary a bundle would store; the second argument says what a moment of that bundle is.
SENTENCES are files of ordinary captions in any known format. The sixty sentences below were written before the code that looks at them. See
docs/measurements/notes.md.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from wsra.export.vocabulary import vocabulary_of
from wsra.runtime.formats.annotations import read_captions
from wsra.runtime.sentences.notes import NoteKind, notes_on

SENTENCES: dict[NoteKind, tuple[str, ...]] = {
    "unknown": (
        "a broken window",
        "a man pushing a trolley",
        "woman with a stroller",
        "a police officer in uniform",
        "someone on a skateboard",
        "a drone above the yard",
        "two masked robbers",
        "man smoking a cigarette",
        "a child on a swing",
        "a horse in the street",
        "an ambulance with flashing lights",
        "a woman in a turquoise jacket",
    ),
    "negation": (
        "a man without a bag",
        "a woman not wearing a coat",
        "no car in the scene",
        "a person who isn't walking",
        "nobody in the scene",
        "a car that never stops",
        "a child with no jacket",
        "everyone except the man in red",
        "a cyclist who doesn't stop",
        "neither a dog nor a cat",
        "a woman who is not in black",
        "the van that cannot turn",
    ),
    "count": (
        "two men in black",
        "three people walking",
        "a group of 5 people",
        "several dogs",
        "four cars drive past",
        "a couple of women in red",
        "2 vans",
        "ten cyclists in yellow",
        "many people on the left",
        "a woman with two children",
        "both men in white shirts",
        "more than one car",
    ),
    "time": (
        "a man in red at night",
        "a white van at 5 pm",
        "someone entering at 17:30",
        "a woman in the morning",
        "a car on Monday",
        "a dog at midnight",
        "a cyclist on 12 March",
        "a person in black yesterday evening",
        "a blue car after 10 o'clock",
        "a man standing still for five minutes",
        "a delivery van on 2026-11-23",
        "people leaving around noon",
    ),
    "language": (
        "ein Mann in einem roten Hemd",
        "une femme avec un sac",
        "un hombre con camisa roja",
        "una macchina bianca",
        "um homem de vermelho",
        "een man met een rode jas",
        "mężczyzna w czerwonej koszuli",
        "穿红衣服的男人",
        "赤いシャツの男",
        "мужчина в красной рубашке",
        "رجل يرتدي قميصا أحمر",
        "eine Frau ohne Tasche",
    ),
}


def main(train: Path, ordinary: dict[str, Path], *, of_objects: bool) -> int:
    """Print both tables; return the exit code."""
    vocabulary = vocabulary_of([caption.query for caption in read_captions(train)], source="training")
    print("| ordinary sentences | sentences | with a note | " + " | ".join(SENTENCES) + " | unknown words, most frequent |")
    print("|---|---:|---:|" + "---:|" * len(SENTENCES) + "---|")
    for name, path in ordinary.items():
        sentences = [caption.query for caption in read_captions(path)]
        notes = [notes_on(sentence, vocabulary, of_objects=of_objects) for sentence in sentences]
        kinds = Counter(note.kind for found in notes for note in found)
        words = Counter(word for found in notes for note in found if note.kind == "unknown" for word in note.words)
        shares = [f"{100 * count / len(sentences):.1f} %" for count in (sum(map(bool, notes)), *(kinds[kind] for kind in SENTENCES))]
        print(f"| {name} | {len(sentences):,} | {' | '.join(shares)} | {', '.join(word for word, _ in words.most_common(8))} |")
    print("\n| kind | sentences | with a note | with a note of this kind | missed |\n|---|---:|---:|---:|---|")
    for kind, written in SENTENCES.items():
        found = {sentence: {note.kind for note in notes_on(sentence, vocabulary, of_objects=of_objects)} for sentence in written}
        missed = [sentence for sentence, kinds in found.items() if kind not in kinds]
        noted = sum(map(bool, found.values()))
        print(f"| {kind} | {len(written)} | {noted} | {len(written) - len(missed)} | {'; '.join(missed)} |")
    return 0


if __name__ == "__main__":
    pairs = (pair.partition("=") for pair in sys.argv[3:])
    sys.exit(main(Path(sys.argv[1]), {name: Path(path) for name, _, path in pairs}, of_objects=sys.argv[2] == "objects"))
