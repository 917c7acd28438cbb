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


# Each shows one repair or a trap beside it; none holds what ftfy takes for mojibake.
PROMPTS = [
    "",
    " ",
    "A red fox jumps over snow.",
    "  many   spaces\tand\nlines\r\nof\u2028text\u2029  ",
    "色调艳丽，过曝，静态，细节模糊不清，字幕，JPEG压缩残留，倒着走",
    "ＬＯＵＤ　ＮＯＩＳＥＳ！？ ﾊﾝｶｸ ｶﾞｷﾞ ￥ ￦ ￨ ￭ ￮",
    "\u201cquoted\u201d \u2018single\u2019 \u201bodd\u201f \u02bc and \u2032 prime \u00ab not \u00bb",
    "ﬂuﬃest oﬀ-white ﬁsh ﬆop ﬅ Ĳssel ĳ ŉ Ǆ ǅ ǆ Ǉ ǈ ǉ Ǌ ǋ ǌ Ǳ ǲ ǳ \ufb13",
    "\u001b[36;44mblue\u001b[0m and \u001b[1x \u001b[;;H \u001b[12 \u001b] \u001b[\u0663m",
    "control \u0000\u0007\u000b\u000e\u001f\u007f chars \ufeffbom \u206a\u206f \ufff9\ufffc \u200b\u200d\u202e",
    "tags \U000e0067 \U0001d173 and emoji 👩‍👩‍👧 🎉",
    "cafe\u0301 re\u0301sume\u0301 \u1112\u1161\u11ab \u212b \u2126 a\u0328\u0301 q\u0323\u0307 \u0f73",
    "one\u0085two",
    "fish &amp; chips &lt;b&gt; &quot;q&quot; &#39;s&#39; &hellip; &eacute; &EACUTE; &SZLIG; &nbsp;x",
    "&amp;amp;amp; &amp;lt; &amp;#65; &#38;#x26;#38;",
    "&AMP &amp &ampere &copy2025 &notit; &notin; &notin &para &paragraph; &lt &gtx &unknown; &x; & ; &;",
    "&#65;&#x42;&#X43;&#0;&#128;&#x92;&#xD800;&#1114112;&#x110000;&#99999999999;&#1;&#11;&#xFDD0;&#xFFFE;&#13;|",
    "&#65 &#x42 &#65A &#x &# &#; &#xg; &#59; &#12ab; &#x1F600; &#38;lt;",
    "&CounterClockwiseContourIntegral; &NotSquareSubsetEqual; &NotSucceedsTilde; &bne; &fjlig;",
    "&CounterClockwiseContourIntegralxxxxxxxxxx &éacute; &amp\u00e9; &ＡＭＰ; &#６５;",
    "a <b>tag</b> &lt;not unescaped by ftfy&gt; &EACUTE; &eacute;",
    "first line &EACUTE;\nsecond <line> &EACUTE;\nthird &EACUTE; ＷＩＤＥ",
    "&#65313; &#xFB01; &ldquo;x&rdquo; <y> &#65313; &#xFB01; &ldquo;x&rdquo;",
    "\u1680\u2000\u2009\u200a\u202f\u205f\u3000\u00a0edge\u00a0",
    "Привет, мир! مرحبا بالعالم नमस्ते 猫が窓辺に座っている 안녕하세요",
    "\u0958 \u2adc \ufb1d \u0344 \u1100\u1161\u11a8 \uac00\u11a8 \u0cc6\u0cc2\u0cd5",
]


def random_texts(count):
    """Pieces that the repairs react to, in random order: their seams are where a mistake would hide."""
    import random

    source = random.Random(20250117)
    pieces = ["&", "&amp;", "amp;", "#", "38;", "x26;", "lt", ";", "<", "\n", "\r", "\r\n", " ", "\u3000", "\u00a0"]
    pieces += ["\u001b", "[", "1;2", "m", "\u0000", "\ufeff", "ﬁ", "ﬀ", "Ｇ", "ｶ", "ﾞ", "e", "\u0301", "\u0323", "가", "\u11a8"]
    pieces += ["\u2019", "\u201c", "\u0080", "\u0085", "\u0092", "\u009d", "&eacute", "&EACUTE;", "&not", "in;", "猫", "🎉", "Ａ", "；", "＆"]
    for _ in range(count):
        yield "".join(source.choice(pieces) for _ in range(source.randint(1, 24)))


def clean(text, **options):
    """basic_clean and whitespace_clean of diffusers/pipelines/wan/pipeline_wan.py."""
    import ftfy
    import html
    import regex

    text = html.unescape(html.unescape(ftfy.fix_text(text, **options))).strip()
    return regex.sub(r"\s+", " ", text).strip()


def versions(*packages):
    import importlib.metadata
    import platform

    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=0) + "\n", encoding="ascii")


def export_cleaning(path):
    cases = []
    for text in PROMPTS:
        # With all of ftfy's defaults: the repair of mojibake, which this program leaves out, must find
        # nothing in these.
        assert clean(text) == clean(text, fix_encoding=False), text
        cases.append({"text": text, "cleaned": clean(text)})
    for text in random_texts(400):
        cases.append({"text": text, "cleaned": clean(text, fix_encoding=False)})
    write_json(path, {"versions": versions("ftfy", "regex"), "cases": cases})


TOKENIZER_PROMPTS = [
    "A red circle moves to the left on a white background.",
    "The purple star grows larger, then it's gone. Static, blurred details!",
    "Two horses and one orange ball: \u201chello world\u201d?",
    "zebra XYZ 0123456789 ~@%",
    "a",
    ".",
    " ".join(["A green fox is running through the grass."] * 20),
]


def export_tokenizer(model, path):
    import sentencepiece
    from transformers import T5Tokenizer

    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    tokenizer = T5Tokenizer.from_pretrained(model.parent)
    cases = []
    for text, max_tokens in itertools.product(TOKENIZER_PROMPTS + PROMPTS, [512, 32, 7, 1]):
        cleaned = clean(text)
        pieces = processor.encode(cleaned, return_type="proto").pieces
        kept = pieces[: max_tokens - 1]
        ids = [piece.id for piece in kept] + [processor.eos_id()]
        cut = len(kept) < len(pieces)
        # transformers has no byte fallback: it says <unk> where sentencepiece spells the bytes.
        other = tokenizer(cleaned, max_length=max_tokens, truncation=True).input_ids
        assert other == ids or tokenizer.unk_token_id in other, (text, other, ids)
        kept_text = cleaned.encode()[: kept[-1].end].decode() if cut and kept else ""
        cases.append({"text": text, "max_tokens": max_tokens, "cleaned": cleaned, "ids": ids, "truncated": cut,
                      "kept": kept_text})  # fmt: skip
    write_json(path, {"versions": versions("sentencepiece", "transformers", "ftfy", "regex"), "cases": cases})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("train-model")
    command.add_argument("out", type=pathlib.Path)
    command = commands.add_parser("cleaning")
    command.add_argument("out", type=pathlib.Path)
    command = commands.add_parser("tokenizer")
    command.add_argument("model", type=pathlib.Path)
    command.add_argument("out", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.command == "train-model":
        train_model(arguments.out)
    elif arguments.command == "cleaning":
        export_cleaning(arguments.out)
    else:
        export_tokenizer(arguments.model, arguments.out)


if __name__ == "__main__":
    sys.exit(main())
