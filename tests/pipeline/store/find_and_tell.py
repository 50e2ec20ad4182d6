"""Find a manifest and read its facts; print the heavy modules that took.

Usage: find_and_tell.py FOLDER KEY
"""

import json
import sys

from pipeline.store import Store

store = Store.open(sys.argv[1])
manifest = store.find(sys.argv[2])
assert manifest is not None
assert store.facts(manifest)
print(json.dumps([name for name in ("numpy", "safetensors", "fsspec", "torch", "ray") if name in sys.modules]))
