#!/usr/bin/env python3
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Stands in for dsv2-bench: rates are a table. The artifact's name says which.

cliff     17 sequences or tokens and more are half as fast as 16
noise     so they are, but in the first run only (the artifact is a file, which
          the first run writes to)
flat      no size is more than 15 % slower than the one before
slow      half the rate of flat
"""

import json
import pathlib
import sys

artifact = pathlib.Path(sys.argv[1])
flags = dict(zip(sys.argv[2::2], sys.argv[3::2]))
name = artifact.name
isFirst = not artifact.exists()
artifact.write_text("run\n")

rows = []
for batch in map(int, flags.get("-b", "1").split(",")):
    for prompt in map(int, flags["-p"].split(",")):
        size = max(batch, prompt)
        rate = 1000 * 0.86 ** (size % 3)
        if size > 16 and (name == "cliff" or name == "noise" and isFirst):
            rate /= 2
        if name == "slow":
            rate /= 2
        rows.append({"batch": batch, "tokens": prompt,
                     "tokens_per_second": rate})
print(json.dumps({"rows": rows}))
