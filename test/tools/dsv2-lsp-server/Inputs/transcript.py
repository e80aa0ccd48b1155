#!/usr/bin/env python3
# ===- transcript.py - a session with the language server -------------------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: transcript.py SERVER FILE...
#
# Opens each file, which has to be valid, and prints its number of diagnostics.
# Hovers over the first use of each op of the dialects, whose description has to
# come back, for ops of the model with their first constraint. Then asks for
# definitions and opens a document that is wrong, mends it and breaks it again.
#
# ===------------------------------------------------------------------------===#

import json
import pathlib
import re
import subprocess
import sys

WRONG = """func.func @f(%x: tensor<?x64xf32>, %w: tensor<8x32xf32>)
    -> tensor<?x8xf32> {
  %y = dsv2.linear %x, %w
    : tensor<?x64xf32>, tensor<8x32xf32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
"""
RIGHT = WRONG.replace("8x32", "8x64")
LAUNCH = """func.func private @kernel(memref<?x64xf32>, index, index)
func.func @f(%pages: memref<?x64xf32>) {
  dsv2.launch @kernel ins(%pages : memref<?x64xf32>)
  return
}
"""


class Session:
    def __init__(self, server):
        self.server = subprocess.Popen([server, "--log=error"],
                                       stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        self.last_id = 0

    def send(self, method, params, **fields):
        body = json.dumps({"jsonrpc": "2.0", "method": method,
                           "params": params, **fields}).encode()
        self.server.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.server.stdin.flush()

    def receive(self):
        header = self.server.stdout.readline()
        assert header.startswith(b"Content-Length: "), header
        assert self.server.stdout.readline() == b"\r\n"
        return json.loads(self.server.stdout.read(int(header.split()[1])))

    def request(self, method, params):
        self.last_id += 1
        self.send(method, params, id=self.last_id)
        reply = self.receive()
        assert reply["id"] == self.last_id, reply
        assert "error" not in reply, reply
        return reply["result"]

    def diagnostics(self):
        """The diagnostics that follow a document's text."""
        message = self.receive()
        assert message["method"] == "textDocument/publishDiagnostics", message
        return message["params"]["diagnostics"]

    def open(self, uri, text):
        self.send("textDocument/didOpen", {"textDocument": {
            "uri": uri, "languageId": "mlir", "version": 1, "text": text}})
        return self.diagnostics()

    def change(self, uri, version, text):
        self.send("textDocument/didChange", {
            "textDocument": {"uri": uri, "version": version},
            "contentChanges": [{"text": text}]})
        return self.diagnostics()

    def at(self, method, uri, text, offset):
        line = text.count("\n", 0, offset)
        column = offset - (text.rfind("\n", 0, offset) + 1)
        return self.request(f"textDocument/{method}", {
            "textDocument": {"uri": uri},
            "position": {"line": line, "character": column}})

    def end(self):
        self.request("shutdown", None)
        self.send("exit", None)
        self.server.stdin.close()
        return self.server.wait(timeout=60)


def main():
    server, paths = sys.argv[1], map(pathlib.Path, sys.argv[2:])
    session = Session(server)
    capabilities = session.request("initialize", {
        "processId": None, "rootUri": None, "capabilities": {}})["capabilities"]
    print("hover", capabilities["hoverProvider"],
          "definition", capabilities["definitionProvider"])
    session.send("initialized", {})

    documented = set()
    for path in paths:
        text = path.read_text(encoding="utf-8")
        uri = f"file:///{path.name}"
        print(path.name, len(session.open(uri, text)), "diagnostics")
        for use in re.finditer(r"^ *(?:%[^=\n]*= )?(dsv2(?:_tile)?\.(\w+))", text, re.M):
            if use.group(1) in documented:
                continue
            hover = session.at("hover", uri, text, use.start(2) + 1)
            value = hover["contents"]["value"]
            assert value.startswith(f"`{use.group(1)}`\n\n_"), value
            isTile = use.group(1).startswith("dsv2_tile.")
            assert isTile or f"- {use.group(2)}_c1: " in value, value
            assert "Generic Form:" in value, value
            documented.add(use.group(1))
    print(*sorted(name.removeprefix("dsv2.") for name in documented))

    uri = "file:///right.mlir"
    print("right:", len(session.open(uri, RIGHT)), "diagnostics")
    # From the last use of %y to its definition.
    found = session.at("definition", uri, RIGHT, RIGHT.rindex("%y") + 1)
    print("%y is defined at", *[(place["range"]["start"]["line"],
                                 place["range"]["start"]["character"])
                                for place in found])
    # A value is no op: its hover is MLIR's own.
    hover = session.at("hover", uri, RIGHT, RIGHT.rindex("%y") + 1)
    print("hover over %y:", hover["contents"]["value"].split("\n")[0])

    uri = "file:///launch.mlir"
    print("launch:", len(session.open(uri, LAUNCH)), "diagnostics")
    found = session.at("definition", uri, LAUNCH, LAUNCH.rindex("@kernel") + 2)
    print("@kernel is defined at line",
          *[place["range"]["start"]["line"] for place in found])

    uri = "file:///wrong.mlir"
    for version, text in enumerate((WRONG, RIGHT, WRONG), start=1):
        found = (session.open(uri, text) if version == 1 else
                 session.change(uri, version, text))
        print(f"wrong, version {version}:", len(found), "diagnostics")
        for diagnostic in found:
            start = diagnostic["range"]["start"]
            print(f"  {start['line']}:{start['character']}:",
                  diagnostic["message"])
    print("ended with", session.end())


if __name__ == "__main__":
    main()
