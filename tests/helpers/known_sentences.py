"""Random documents of each format, built from known sentences that a test can look for in the extracted text.

A writer ``as_FORMAT(rng, groups)`` returns a file's name and bytes; each group of sentences is a paragraph.
"""

import json
import random
from html import escape
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from document_files import docx_file, pdf_bytes

DRUGS = ("corvinol", "ilvastat", "norvacine", "tarvinol", "zelparin", "dorvamab", "Glibarin-XR", "β-lactam X")
PREDICATES = (
    "lowered pain by 3.5%",
    "was given i.v. at 5 mg/kg",
    "cost approx. 40 € (see Fig. 3)",
    "raised LDL, i.e. cholesterol, in U.S. women",
    "did not help Dr. Lee's patients",
    "halved deaths (p < 0.01)",
    "was stopped at platelets below 50 × 10^9/L",
    "held “severe” gout at bay",
)
END_MARKS = (".", "!", "?", ".", ".")


def sentences(rng: random.Random, count: int) -> list[str]:
    return [
        f"In trial {number} {rng.choice(DRUGS)} {rng.choice(PREDICATES)}{rng.choice(END_MARKS)}"
        for number in range(count)
    ]


def random_paragraphs(rng: random.Random, items: list[str]) -> list[list[str]]:
    """The sentences, in order, in paragraphs of random length, on average two sentences."""
    cuts = sorted({0, len(items), *rng.sample(range(len(items)), len(items) // 2)})
    return [items[start:end] for start, end in pairwise(cuts)]


def as_text(rng: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    paragraphs = [rng.choice(("", "• ", "- ", "1. ", "RESULTS AND DOSES\n")) + " ".join(group) for group in groups]
    return "a.txt", rng.choice(("\n\n", "\n\n\n", "\n \n")).join(paragraphs).encode()


def as_markdown(rng: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    prefixes = (
        "",
        "## A heading\n\n",
        "- ",
        "> ",
        "![a](data:image/png;base64," + "A" * 100 + ")\n\n",
        "<!-- none -->\n\n",
    )
    table = "\n\n| Drug | Dose |\n|---|---|\n| Heparin | 5 mg |\n\n"
    paragraphs = (rng.choice(prefixes) + " ".join(group) + rng.choice(("", table)) for group in groups)
    return "a.md", ("---\ntitle: A note\n---\n\n" + "\n\n".join(paragraphs)).encode()


def as_html(rng: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    def marked_up(sentence: str) -> str:
        trial = rng.choice(("trial", "<b>trial</b>", "<span>tri<i>al</i></span>", "trial<!-- -->"))
        return escape(sentence).replace("10^9", "10<sup>9</sup>").replace("trial", trial)

    templates = (
        "<p>{}</p>",
        "<div><p>{}</p></div>",
        "<h2><button>Doses</button></h2><div>{}</div>",
        "<ul><li>{}</ul>",
        "<p hidden>Hidden.</p><p>{}",
        "<table><tr><th><p>Drug</p><th>Text<tr><td>Heparin<td><p>{}</p></table>",
        "<details><summary>More</summary>{}</details>",
    )
    body = "".join(rng.choice(templates).format(" ".join(map(marked_up, group))) for group in groups)
    return "a.html", f"<title>T</title><body>{body}".encode()


def as_docx(rng: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    blocks = []
    for group in groups:
        style = rng.choice(("Normal", "List Bullet", "Heading 1", "table"))
        if style == "Heading 1":
            blocks.append((style, "Doses"))
            style = "Normal"
        blocks.append((style, "Drug\tDose\nHeparin\t" + " ".join(group) if style == "table" else " ".join(group)))
    with TemporaryDirectory() as folder:
        return "a.docx", docx_file(Path(folder) / "a.docx", blocks).read_bytes()


def as_pdf(rng: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    """A PDF with running heads, page numbers and line breaks between any two words, and without paragraphs."""
    pages = []
    words = " ".join(map(" ".join, groups)).replace("β", "b").split()  # cp1252, the fonts' encoding, has no β
    while words:
        lines = []
        for _ in range(rng.randint(4, 9)):
            length = rng.randint(5, 9)
            lines.append(" ".join(words[:length]))
            words = words[length:]
        body = "\n".join(line for line in lines if line)
        pages.append(f"J Invent Med 2021;14:{len(pages)}\n{body}\n{len(pages) + 1}")
    return "a.pdf", pdf_bytes(pages)


def as_jsonl(rng: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    return "a.jsonl", json.dumps({"text": rng.choice(("\n\n", " ")).join(map(" ".join, groups))}).encode()


def as_csv(rng: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    text = rng.choice(("\n\n", " ")).join(map(" ".join, groups)).replace('"', '""')
    separator, empty_cells = rng.choice(((",", ""), (";", ";"), ("\t", "\t\t")))
    return "a.csv", f'title{separator}text\nT{separator}"{text}"{empty_cells}\n'.encode("utf-8-sig")


def as_pubmed(rng: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    labels = ("", ' Label="RESULTS"', ' Label="UNLABELLED"')
    sections = (f"<AbstractText{rng.choice(labels)}>{escape(' '.join(group))}</AbstractText>" for group in groups)
    abstract = "".join(sections).replace("10^9", "10<sup>9</sup>")
    article = f"<Article><ArticleTitle>[Not Available].</ArticleTitle><Abstract>{abstract}</Abstract></Article>"
    record = f"<PubmedArticle><MedlineCitation><PMID>1</PMID>{article}</MedlineCitation></PubmedArticle>"
    return "a.xml", f"<PubmedArticleSet>{record}</PubmedArticleSet>".encode()


WRITERS = (as_text, as_markdown, as_html, as_docx, as_pdf, as_jsonl, as_csv, as_pubmed)
