# ===- read_pipe.py - run a command that writes to a pipe --------------------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: read_pipe.py PIPE OUTPUT COMMAND...
#
# ===------------------------------------------------------------------------===#

import subprocess
import sys
import threading

pipe, output, command = sys.argv[1], sys.argv[2], sys.argv[3:]


def copy():
    with open(pipe, "rb") as source, open(output, "wb") as target:
        target.write(source.read())


reader = threading.Thread(target=copy, daemon=True)
reader.start()
status = subprocess.run(command).returncode
reader.join(timeout=60)
sys.exit(status or reader.is_alive())
