"""Random documents of each format, built from known sentences."""

import json
import random
from html import escape
from itertools import pairwise
from pathlib import Path

from document_files import docx_file, pdf_bytes

DRUGS = ("corvinol", "ilvastat", "norvacine", "tarvinol", "zelparin", "dorvamab", "Glibarin-XR", "β-lactam X")
MIDDLES = (
    "lowered pain by 3.5%",
    "was given i.v. at 5 mg/kg",
    "cost approx. 40 € (see Fig. 3)",
    "raised LDL, i.e. cholesterol, in U.S. women",
    "did not help Dr. Lee's patients",
    "halved deaths (p < 0.01)",
    "was stopped at platelets below 50 × 10^9/L",
    "held “severe” gout at bay",
)
ENDS = (".", "!", "?", ".", ".")


def sentences(chance: random.Random, count: int) -> list[str]:
    return [
        f"In trial {number} {chance.choice(DRUGS)} {chance.choice(MIDDLES)}{chance.choice(ENDS)}"
        for number in range(count)
    ]


def grouped(chance: random.Random, items: list[str]) -> list[list[str]]:
    """The items in order in groups of one to four."""
    cuts = sorted({0, len(items), *chance.sample(range(len(items)), len(items) // 2)})
    return [items[start:end] for start, end in pairwise(cuts)]


def as_text(chance: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    made = [chance.choice(("", "• ", "- ", "1. ", "RESULTS AND DOSES\n")) + " ".join(group) for group in groups]
    return "a.txt", chance.choice(("\n\n", "\n\n\n", "\n \n")).join(made).encode()


def as_markdown(chance: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    marks = (
        "",
        "## A heading\n\n",
        "- ",
        "> ",
        "![a](data:image/png;base64," + "A" * 100 + ")\n\n",
        "<!-- none -->\n\n",
    )
    table = "\n\n| Drug | Dose |\n|---|---|\n| Heparin | 5 mg |\n\n"
    made = (chance.choice(marks) + " ".join(group) + chance.choice(("", table)) for group in groups)
    return "a.md", ("---\ntitle: A note\n---\n\n" + "\n\n".join(made)).encode()


def as_html(chance: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    def shown(sentence: str) -> str:
        marked = escape(sentence).replace("10^9", "10<sup>9</sup>")
        return marked.replace(
            "trial", chance.choice(("trial", "<b>trial</b>", "<span>tri<i>al</i></span>", "trial<!-- -->"))
        )

    forms = (
        "<p>{}</p>",
        "<div><p>{}</p></div>",
        "<h2><button>Doses</button></h2><div>{}</div>",
        "<ul><li>{}</ul>",
        "<p hidden>Hidden.</p><p>{}",
        "<table><tr><th><p>Drug</p><th>Text<tr><td>Heparin<td><p>{}</p></table>",
        "<details><summary>More</summary>{}</details>",
    )
    body = "".join(chance.choice(forms).format(" ".join(map(shown, group))) for group in groups)
    return "a.html", f"<title>T</title><body>{body}".encode()


def as_docx(chance: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    blocks = []
    for group in groups:
        style = chance.choice(("Normal", "List Bullet", "Heading 1", "table"))
        if style == "Heading 1":
            blocks.append((style, "Doses"))
            style = "Normal"
        blocks.append((style, "Drug\tDose\nHeparin\t" + " ".join(group) if style == "table" else " ".join(group)))
    path = docx_file(Path(chance.folder) / "a.docx", blocks)  # type: ignore[attr-defined]
    return "a.docx", path.read_bytes()


def as_pdf(chance: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    """With running heads, numbers of pages and lines that break anywhere between words."""
    pages = []
    words = " ".join(" ".join(group) for group in groups).replace("β", "b").split()
    while words:
        lines = []
        for _ in range(chance.randint(4, 9)):
            taken = chance.randint(5, 9)
            lines.append(" ".join(words[:taken]))
            words = words[taken:]
        body = "\n".join(line for line in lines if line)
        pages.append(f"J Invent Med 2021;14:{len(pages)}\n{body}\n{len(pages) + 1}")
    return "a.pdf", pdf_bytes(pages)


def as_jsonl(chance: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    return "a.jsonl", json.dumps({"text": chance.choice(("\n\n", " ")).join(map(" ".join, groups))}).encode()


def as_csv(chance: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    text = chance.choice(("\n\n", " ")).join(map(" ".join, groups)).replace('"', '""')
    between, more = chance.choice(((",", ""), (";", ";"), ("\t", "\t\t")))
    return "a.csv", f'title{between}text\nT{between}"{text}"{more}\n'.encode("utf-8-sig")


def as_pubmed(chance: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    labels = ("", ' Label="RESULTS"', ' Label="UNLABELLED"')
    made = (f"<AbstractText{chance.choice(labels)}>{escape(' '.join(group))}</AbstractText>" for group in groups)
    shown = "".join(made).replace("10^9", "10<sup>9</sup>")
    article = f"<Article><ArticleTitle>[Not Available].</ArticleTitle><Abstract>{shown}</Abstract></Article>"
    record = f"<PubmedArticle><MedlineCitation><PMID>1</PMID>{article}</MedlineCitation></PubmedArticle>"
    return "a.xml", f"<PubmedArticleSet>{record}</PubmedArticleSet>".encode()


WRITERS = (as_text, as_markdown, as_html, as_docx, as_pdf, as_jsonl, as_csv, as_pubmed)
