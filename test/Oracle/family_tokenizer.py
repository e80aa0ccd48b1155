#!/usr/bin/env python3
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Trains byte-level BPE tokenizers with the DeepSeek-V2 family's pre-tokenizer.

As a module it gives `train()`, which both the tokenizer fixture and the tiny
model use. As a program it writes one tokenizer.json from text files.

The pre-tokenizer is a sequence in which every step is applied to every piece
that the earlier steps left, matched or not; each match becomes a piece of its
own. The class of cased letters is written here in code points, since copies
of it that went through Unicode normalisation have six wrong end points.
"""

import argparse
import json
import pathlib
import unicodedata

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models,
                        normalizers, pre_tokenizers, processors, trainers)

BOS = "<｜begin▁of▁sentence｜>"
EOS = "<｜end▁of▁sentence｜>"
USER = "<｜User｜>"
ASSISTANT = "<｜Assistant｜>"

# Code points of the cased letters, inclusive ranges, in hexadecimal.
CASED_LETTERS = """
41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377
37B-37D 37F 386 388-38A 38C 38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5
13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B 1D6B-1D77 1D79-1D9A
1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D
1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC
1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128
212A-212D 212F-2134 2139 213C-213F 2145-2149 214E 2183 2184 2C00-2C7B
2C7E-2CE4 2CEB-2CEE 2CF2 2CF3 A640-A66D A680-A69B A722-A76F A771-A787
A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F
104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943
"""
CASED_LETTER_COUNT = 2729


def cased_letter_class():
    """Returns the body of the bracket expression of the cased letters."""
    body, count = [], 0
    for item in CASED_LETTERS.split():
        first, _, last = item.partition("-")
        first, last = int(first, 16), int(last or first, 16)
        for point in range(first, last + 1):
            assert unicodedata.category(chr(point)) in ("Lu", "Ll", "Lt"), item
        count += last - first + 1
        body.append(chr(first) if first == last else
                    chr(first) + "-" + chr(last))
    assert count == CASED_LETTER_COUNT, count
    return "".join(body)


def split_patterns():
    """Returns the five split expressions, in order."""
    return [
        "[\r\n]",
        "\\s?[" + cased_letter_class() + "]+",
        "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
        "\\s+$",
        "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+",
    ]


def pre_tokenizer():
    """Returns the family's pre-tokenizer sequence."""
    steps = [pre_tokenizers.Split(Regex(p), "isolated")
             for p in split_patterns()]
    steps.append(pre_tokenizers.Digits(individual_digits=True))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False,
                                          use_regex=False))
    return pre_tokenizers.Sequence(steps)


def train(texts, vocabulary_size, specials=(BOS, EOS, USER, ASSISTANT)):
    """Trains a tokenizer.

    The base vocabulary is the 256 byte symbols and vocabulary_size - 256
    merges; the special tokens get the ids that follow. The first special
    token is prepended to every encoded text.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([])
    tokenizer.pre_tokenizer = pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size, min_frequency=2, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts, trainer)
    assert tokenizer.get_vocab_size() == vocabulary_size, (
        f"the text gives {tokenizer.get_vocab_size()} entries only")
    tokenizer.add_special_tokens([AddedToken(s, normalized=False, special=True)
                                  for s in specials])
    bos = specials[0]
    assert tokenizer.token_to_id(bos) == vocabulary_size
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos}:0 $A:0", pair=f"{bos}:0 $A:0 {bos}:1 $B:1",
        special_tokens=[(bos, tokenizer.token_to_id(bos))])
    return tokenizer


def check_file(path):
    """Asserts that a written file holds the sequence exactly."""
    data = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    steps = data["pre_tokenizer"]["pretokenizers"]
    assert [s["type"] for s in steps] == ["Split"] * 5 + ["Digits",
                                                          "ByteLevel"]
    for step, pattern in zip(steps, split_patterns()):
        assert step["pattern"]["Regex"] == pattern
        assert step["behavior"] == "Isolated" and step["invert"] is False
    assert steps[5]["individual_digits"] is True
    assert steps[6]["add_prefix_space"] is False
    assert steps[6]["use_regex"] is False
    assert data["decoder"]["type"] == "ByteLevel"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", nargs="+", help="UTF-8 text files to train on")
    parser.add_argument("--output", required=True,
                        help="the tokenizer.json to write")
    parser.add_argument("--vocabulary-size", type=int, required=True,
                        help="entries without the special tokens")
    parser.add_argument("--bytes", type=int, default=None,
                        help="use only this many leading bytes of each file")
    arguments = parser.parse_args()
    texts = [pathlib.Path(t).read_bytes()[:arguments.bytes].decode("utf-8")
             for t in arguments.text]
    tokenizer = train(texts, arguments.vocabulary_size)
    tokenizer.save(arguments.output, pretty=True)
    check_file(arguments.output)
    print(f"{arguments.output}: {tokenizer.get_vocab_size()} entries")


if __name__ == "__main__":
    main()
