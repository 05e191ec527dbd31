#!/usr/bin/python3
"""embed.py FILE OUTPUT NAME: a file's bytes as C source: NAME and NAME_size."""

import pathlib
import sys

source, target, name = sys.argv[1:]
data = pathlib.Path(source).read_bytes()
lines = [", ".join(f"0x{byte:02x}" for byte in data[at:at + 16]) for at in range(0, len(data), 16)]
pathlib.Path(target).write_text(
    "#include <stddef.h>\n\n"
    f"extern const unsigned char {name}[];\nextern const size_t {name}_size;\n"
    f"const unsigned char {name}[] = {{\n\t" + ",\n\t".join(lines) + f"\n}};\nconst size_t {name}_size = sizeof({name});\n",
    encoding="ascii")
