#!/usr/bin/python3
"""embed.py OUTPUT FILE...: the files as C source, each under the path at which it is served."""

import pathlib
import sys

TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

output, *names = sys.argv[1:]
source = ['#include "page/assets.h"\n']
table = []
for number, name in enumerate(names):
    file = pathlib.Path(name)
    data = file.read_bytes()
    lines = [", ".join(f"0x{byte:02x}" for byte in data[at:at + 16]) for at in range(0, len(data), 16)]
    source.append(f"static const unsigned char file_{number}[] = {{\n\t" + ",\n\t".join(lines) + "\n};\n")
    path = "/" if file.name == "index.html" else f"/page/{file.name}"
    table.append(f'\t{{"{path}", "{TYPES[file.suffix]}", file_{number}, sizeof(file_{number})}},')
source.append("const struct asset assets[] = {\n" + "\n".join(table) + "\n\t{NULL, NULL, NULL, 0},\n};\n")
pathlib.Path(output).write_text("\n".join(source), encoding="ascii")
