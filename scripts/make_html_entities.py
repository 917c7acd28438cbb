#!/usr/bin/env python3
"""Writes engine/text/html_entities.inc: the named character references of HTML 5 as Python's
html.entities lists them, and the upper-case spellings that ftfy takes for the lower-case ones.

    make_html_entities.py engine/text/html_entities.inc
"""

import html
import html.entities
import sys


def rows():
    """Yields (name without '&' and ';', text, kind), sorted by the bytes of the name."""
    table = html.entities.html5
    for name, text in table.items():
        if not name.endswith(";"):
            continue
        bare = name[:-1]
        # HTML knows these names without ';' too, for the sake of old pages.
        yield bare, text, "kLegacy" if bare in table else "kNamed"
        upper = bare.upper()
        if bare == bare.lower() and html.unescape(f"&{upper};") == f"&{upper};":
            yield upper, text.upper(), "kUpper"


def escaped(text):
    return "".join(
        chr(byte) if 0x20 <= byte < 0x7F and chr(byte) not in '"\\' else f"\\{byte:03o}" for byte in text.encode()
    )


def main():
    lines = ["// Made by scripts/make_html_entities.py."]
    lines.append("")
    for name, text, kind in sorted(rows(), key=lambda row: row[0].encode()):
        row = f'{{"{name}", "{escaped(text)}", {kind}}},'
        if len(lines[-1]) + 1 + len(row) > 100 or not lines[-1]:
            lines.append(row)
        else:
            lines[-1] += " " + row
    lines.remove("")
    with open(sys.argv[1], "w", encoding="ascii") as out:
        out.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
