"""Trains the default model's sentencepiece vocabulary on MovingShapes captions.

    python3 scripts/training/train_tokenizer.py models/default/tokenizer
"""

import io
import json
import pathlib
import sys

import sentencepiece

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import moving_shapes

VOCAB = 512


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    data = moving_shapes.open_library()
    captions = [data.caption("train", i, v) for i in range(0, 27000, 3) for v in (0, i + 1)]
    # Every word many times over beside a few sentences, so that common words become one piece each.
    words = sorted({word for caption in captions for word in caption.split()})
    sentences = [word for word in words for _ in range(200)] + captions[:300]
    model = io.BytesIO()
    # Ids and normalisation as UMT5's own vocabulary has them, where they matter: pad 0, eos 1, byte
    # fallback, a leading space, spaces kept.
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=model, vocab_size=VOCAB,
        model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, byte_fallback=True,
        hard_vocab_limit=False, normalization_rule_name="identity", add_dummy_prefix=True,
        remove_extra_whitespaces=False, num_threads=1, minloglevel=2)
    (folder / "spiece.model").write_bytes(model.getvalue())
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(
        tokenizer_class="T5Tokenizer", eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
        extra_ids=0, legacy=False, model_max_length=512), indent=2) + "\n")
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    longest = max(len(processor.encode(c)) for c in captions) + 1
    print(f"{processor.vocab_size()} pieces; the longest of {len(captions)} captions has {longest} ids")


if __name__ == "__main__":
    main()
