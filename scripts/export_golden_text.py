#!/usr/bin/env python3
"""Makes the fixtures of the text front end: the small sentencepiece model of the tests, and what the
Python packages that the Wan pipelines use (ftfy, html, regex, transformers) make of given prompts.

    export_golden_text.py train-model OUT/spiece.model   # unigram, byte fallback, no normalisation
    export_golden_text.py cleaning    OUT.json           # text -> cleaned text
    export_golden_text.py tokenizer   SPIECE OUT.json    # text -> ids, by transformers
"""

import argparse
import html
import io
import itertools
import json
import pathlib
import sys


def training_sentences():
    """Captions in the style of the prompts this program is made for, and a few other languages."""
    colours = ["red", "blue", "green", "yellow", "white", "black", "orange", "purple"]
    shapes = ["circle", "square", "triangle", "star", "ring", "cross", "cat", "dog", "fox", "horse"]
    motions = [
        "moves to the left",
        "moves to the right",
        "rises slowly",
        "falls quickly",
        "spins around",
        "jumps over snow",
        "is running through the grass",
        "is playing in the rain at dusk",
    ]
    places = [
        "on a white background",
        "over a grey wall",
        "in front of the sea",
        "in a quiet street, cinematic shot",
        "at night, high quality",
    ]
    for colour, shape, motion, place in itertools.product(colours, shapes, motions, places):
        yield f"A {colour} {shape} {motion} {place}."
    for colour, shape in itertools.product(colours, shapes):
        yield f"The {colour} {shape} grows larger, then it's gone. Static, blurred details!"
        yield f"Two {shape}s and one {colour} ball: \"hello world\"?"
    yield from ["Привет, мир! Красный круг движется влево."] * 40
    yield from ["你好世界。一只红色的猫在雪地里奔跑。"] * 40
    yield from ["猫が窓辺に座っている。"] * 20


def train_model(path):
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=training_sentences(),
        model_writer=model,
        model_type="unigram",
        vocab_size=384,
        character_coverage=0.995,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=True,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.getvalue())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("train-model")
    command.add_argument("out", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.command == "train-model":
        train_model(arguments.out)


if __name__ == "__main__":
    sys.exit(main())
