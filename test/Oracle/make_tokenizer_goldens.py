#!/usr/bin/env python3
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes the reference token ids of the tokenizer tests.

For each tokenizer the file corpus.NAME.ids.json gets:
  whole   ids of the whole corpus as one text
  lines   ids of each line; lines are what lies between LF characters (a CR
          belongs to its line, and an LF is not part of any line)
  cases   small texts with ids, tokens, and (unless the text is about special
          tokens) the pieces of the pre-tokenizer; `add_special_tokens` says
          whether the post-processor ran (it puts BOS in front)
`whole` and `lines` are without special tokens. Special tokens that stand in
the text of a case are recognised, as the reference does; a program that must
not accept them from users has to ask for something else.

Needs the `tokenizers` package; building and testing dsv2 does not.
"""

import argparse
import json
import pathlib

import tokenizers
from tokenizers import Tokenizer

import family_tokenizer as family

CASES = [
    "", " ", "hello world", "def f(n):\n    if n < 2:\n        return n",
    "theorem (a b : ℕ)", "a   b", "\t\tx\t", "one\r\ntwo\r\n\r\nthree\n",
    "\n\n\n", " \n \n", "trailing   ", "h\u00e9llo", "he\u0301llo",
    "F\u00fchrer", "Fu\u0308hrer", "\u4f60\u597d\uff0c\u4e16\u754c\uff01",
    "\U0001f600", "\u4e16\u754c", "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "2024-05-07 12:34:56", "3.14159", "\u0661\u0662\u0663 \u096a",
    "don't", "x\u2028y", "ROMEO:\nWhat light through yonder window breaks?",
    "nul\u0000byte", "\u03a9\u2126 \u00c5\u212b K\u212a",
    "User: hi\n\nAssistant:", "1 2  3   4", "ab" * 20,
]


def special_cases():
    bos, eos = family.BOS, family.EOS
    return [f"{bos}hello", f"a{eos}b", f"{eos}{eos}", f" {bos} ",
            f"hi{eos}User: x", f"{family.USER}q{family.ASSISTANT}",
            bos[:-1], eos[1:], "<|end_of_sentence|>"]


def encode(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def make(tokenizer, name, text):
    lines = text.split("\n")
    whole = encode(tokenizer, text)
    assert tokenizer.decode(whole, skip_special_tokens=False) == text
    line_ids = []
    for line in lines:
        ids = encode(tokenizer, line)
        assert tokenizer.decode(ids, skip_special_tokens=False) == line, line
        line_ids.append(ids)
    cases = []
    specials = special_cases()
    for case in CASES + specials:
        for add in (False, True):
            e = tokenizer.encode(case, add_special_tokens=add)
            entry = {"text": case, "add_special_tokens": add, "ids": e.ids,
                     "tokens": e.tokens}
            if not add:
                if case not in specials:
                    entry["pieces"] = [
                        p for p, _ in
                        tokenizer.pre_tokenizer.pre_tokenize_str(case)]
                assert tokenizer.decode(
                    e.ids, skip_special_tokens=False) == case
            cases.append(entry)
    head = {"tokenizer": name, "corpus": "corpus.txt",
            "made_with": f"tokenizers {tokenizers.__version__}",
            "line_count": len(lines), "whole_count": len(whole)}
    out = json.dumps(head, ensure_ascii=False)[:-1]
    out += ',\n"whole": ' + json.dumps(whole, separators=(",", ":"))
    out += ',\n"lines": [\n' + ",\n".join(
        json.dumps(i, separators=(",", ":")) for i in line_ids) + "\n]"
    out += ',\n"cases": [\n' + ",\n".join(
        json.dumps(c, ensure_ascii=True) for c in cases) + "\n]}\n"
    json.loads(out)
    return out


def main():
    root = pathlib.Path(__file__).resolve().parent.parent.parent
    folder = root / "test/Fixtures/tokenizer"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train-family", action="store_true",
                        help="train family.json anew first (from the corpus "
                        "and the start of the tiny model's text)")
    parser.add_argument("--vocabulary-size", type=int, default=4000,
                        help="size of family.json without special tokens")
    parser.add_argument("--output", type=pathlib.Path, default=folder,
                        help="folder for the .ids.json files")
    arguments = parser.parse_args()
    text = (folder / "corpus.txt").read_bytes().decode("utf-8")
    if arguments.train_family:
        plays = (root / "models/tiny/tinyshakespeare.txt").read_text(
            encoding="utf-8")[:200000]
        tokenizer = family.train([text] * 4 + [plays],
                                 arguments.vocabulary_size)
        tokenizer.save(str(folder / "family.json"), pretty=False)
        family.check_file(folder / "family.json")
    for name, path in (("family", folder / "family.json"),
                       ("tiny", root / "models/tiny/tokenizer.json")):
        tokenizer = Tokenizer.from_file(str(path))
        out = make(tokenizer, name, text)
        path = arguments.output / f"corpus.{name}.ids.json"
        path.write_text(out, encoding="utf-8")
        print(f"{path.name}: {len(out)} bytes")


if __name__ == "__main__":
    main()
