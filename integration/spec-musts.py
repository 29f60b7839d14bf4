#!/usr/bin/env python3
"""Compares docs/spec-coverage/ with a checkout of the OCI runtime spec: every MUST must be quoted, in the spec's order.

usage: integration/spec-musts.py DIR
"""
import re
import sys
from pathlib import Path

PAGES = {
    "bundle": ["bundle"],
    "runtime": ["runtime", "runtime-linux"],
    "config": ["config"],
    "config-linux": ["config-linux"],
    "features": ["features", "features-linux"],
}
DEMANDS = re.compile(r"\b(MUST|REQUIRED|SHALL)\b")
WISHES = re.compile(r"\b(SHOULD|RECOMMENDED)\b")


def plain(text):
    """Markdown without links, emphasis, anchors, footnotes, table bars; each run of blanks one blank."""
    text = re.sub(r"<a [^>]*/>", "", text)
    text = re.sub(r"\[\^\d+\](?!:)", "", text)
    text = re.sub(r"\[((?:[^\[\]]|\[[^\]]*\])*?)\](?:\([^)]*\)|\[[^\]]*\])", r"\1", text)
    return " ".join(re.sub(r"[*`|\\]", " ", text).split()).replace(" ,", ",").replace(" .", ".").replace(" ;", ";")


def spec_text(path):
    """The document without its examples."""
    return plain(re.sub(r"^ *```.*?^ *```", "", path.read_text(), flags=re.S | re.M))


def quotes(page, heading):
    """The first cells of the requirement tables below a document's heading, with their lines."""
    inside = table = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.startswith("## "):
            inside = f"[{heading}.md]" in line
        table = line.startswith("|") and (table or line.startswith("| MUST |"))
        if inside and table and not line.startswith(("| MUST |", "|---")):
            yield number, line.split(" | ")[0].lstrip("| ")


def compare(spec, page, document):
    """The faults of one document, and how many demands and wishes it has and how many of the wishes are quoted."""
    text, at, covered, faults = spec_text(spec / f"{document}.md"), 0, [], []
    for number, quote in quotes(page, document):
        for piece in plain(quote).split("…"):
            found = text.find(piece.strip(), at)
            if found < 0:
                where = "comes earlier" if piece.strip() in text else "is not there"
                faults.append(f"{page}:{number}: {where} in {document}.md: {piece.strip()}")
                continue
            at = found + len(piece.strip())
            covered.append((found, at))

    def is_covered(match):
        return any(start <= match.start() < end for start, end in covered)

    demands, wishes = list(DEMANDS.finditer(text)), list(WISHES.finditer(text))
    for demand in demands:
        if not is_covered(demand):
            context = text[max(0, demand.start() - 70) : demand.end() + 50]
            faults.append(f"{page}: {document}.md is not quoted at: …{context}…")
    return faults, len(demands), len(wishes), sum(map(is_covered, wishes))


def main():
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "config-linux.md").exists():
        sys.exit(__doc__)
    docs, all_faults = Path(__file__).parent.parent / "docs" / "spec-coverage", []
    for page, documents in PAGES.items():
        for document in documents:
            faults, demands, wishes, quoted = compare(Path(sys.argv[1]), docs / f"{page}.md", document)
            print(f"{document + '.md':<18} {demands:>4} MUST, REQUIRED, SHALL; {quoted} of {wishes} SHOULD quoted; {len(faults)} faults")
            all_faults += faults
    for fault in all_faults:
        print(fault)
    sys.exit(bool(all_faults))


main()
