#!/usr/bin/env python3
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Measures a byte n-gram model, the yardstick for the tiny model's loss.

Interpolated Kneser-Ney smoothing with three discounts per order (estimated
from the counts of counts, as in modified Kneser-Ney), down to a uniform
distribution over the 256 byte values. Trained on the first part of the text
and scored on the rest, the same split that train.py uses.
"""

import argparse
import collections
import math
import pathlib


def discounts(counts):
    """Returns the discounts for counts of 1, 2 and 3 or more."""
    n = [0] * 5
    for count in counts:
        if count < 5:
            n[count] += 1
    if not all(n[1:]):
        return [0.0, 0.5, 0.75, 0.9]
    y = n[1] / (n[1] + 2 * n[2])
    return [0.0] + [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]


class KneserNey:
    """An interpolated Kneser-Ney model of bytes."""

    def __init__(self, data, order):
        self.order = order
        # follow[k][context of k bytes][byte]: raw counts at the highest
        # order, numbers of distinct left neighbours below it.
        self.follow = [collections.defaultdict(collections.Counter)
                       for _ in range(order)]
        grams = collections.Counter(data[i:i + order]
                                    for i in range(len(data) - order + 1))
        for k in range(order - 1, -1, -1):
            for gram, count in grams.items():
                self.follow[k][gram[:-1]][gram[-1]] = count
            left = collections.Counter()
            for gram in grams:
                left[gram[1:]] += 1
            grams = left
        self.levels = []
        for table in self.follow:
            d = discounts(c for row in table.values() for c in row.values())
            level = {}
            for context, row in table.items():
                total = sum(row.values())
                mass = sum(d[min(c, 3)] for c in row.values()) / total
                level[context] = (row, total, mass)
            self.levels.append((d, level))

    def probability(self, context, byte):
        p = 1.0 / 256
        for k, (d, level) in enumerate(self.levels):
            entry = level.get(context[len(context) - k:])
            if entry is None:
                break
            row, total, mass = entry
            count = row.get(byte, 0)
            p = max(count - d[min(count, 3)], 0.0) / total + mass * p
        return p

    def loss(self, data, start):
        """Returns the mean loss in nats per byte of data[start:]."""
        total = 0.0
        for i in range(start, len(data)):
            context = data[max(0, i - self.order + 1):i]
            total -= math.log(self.probability(context, data[i]))
        return total / (len(data) - start)


def main():
    folder = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", default=folder / "tinyshakespeare.txt",
                        type=pathlib.Path, help="the text")
    parser.add_argument("--train-fraction", type=float, default=0.9,
                        help="leading part of the text to train on")
    parser.add_argument("--orders", type=int, nargs="+",
                        default=[3, 4, 5, 6, 7],
                        help="model orders; an n-gram sees n-1 bytes")
    arguments = parser.parse_args()
    data = arguments.text.read_bytes()
    split = int(len(data) * arguments.train_fraction)
    for order in arguments.orders:
        model = KneserNey(data[:split], order)
        # A small check that the probabilities add up to one.
        total = sum(model.probability(data[split:split + order - 1], b)
                    for b in range(256))
        assert abs(total - 1) < 1e-9, total
        loss = model.loss(data, split)
        print(f"{order}-gram: {loss:.4f} nats/byte, "
              f"{loss / math.log(2):.4f} bits/byte", flush=True)


if __name__ == "__main__":
    main()
