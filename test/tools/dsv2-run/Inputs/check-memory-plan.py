"""Compares planned memory with the measured peak: RUN.json EXPLAIN.json."""

import json
import sys

with open(sys.argv[1]) as file:
    memory = json.load(file)["memory"]
with open(sys.argv[2]) as file:
    explained = json.load(file)["memory"]

parts = sum(memory[key] for key in ("weights", "cache", "workspace", "logits"))
if parts != memory["total"]:
    sys.exit(f"the parts sum to {parts}, not to the total {memory['total']}")
peak = memory["peak_resident"]
for name, planned in (
    ("the session", memory["total"]),
    ("--explain", explained["total_bytes"]),
):
    if abs(planned - peak) > 0.05 * peak:
        sys.exit(f"{name} planned {planned} bytes, the peak was {peak}")
