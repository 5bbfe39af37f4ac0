"""Files of users' documents, in each format that medground reads, with the quirks of the programs that write them."""

import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

DOCTYPE = (
    '<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2025//EN" '
    '"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd">'
)


def pdf_bytes(pages: Sequence[str], *, title: str | None = None) -> bytes:
    """A PDF 1.4 file in Helvetica. Each of ``pages`` is the text of a page; an empty text gives an empty page.

    A tab in a line starts the second column.
    """
    contents = []
    for text in pages:
        rows = [line.split("\t") for line in text.split("\n")]
        snippets = [
            (72 + 250 * column, 760 - 14 * line, 11, "F1", row[column])
            for column in range(max(map(len, rows)))
            for line, row in enumerate(rows)
            if column < len(row) and row[column]
        ]
        contents.append(_content_stream(snippets))
    return _pdf(contents, title)


def pictured_pdf(pages: Sequence[str], *, pictures: Sequence[int]) -> bytes:
    """The file of ``pdf_bytes`` with an image on each page whose index is in ``pictures``."""
    from pypdf import PdfWriter
    from pypdf.generic import DictionaryObject, NameObject, StreamObject

    writer = PdfWriter(clone_from=io.BytesIO(pdf_bytes(pages)))
    for number in pictures:
        picture = StreamObject()
        picture.update({NameObject("/Type"): NameObject("/XObject"), NameObject("/Subtype"): NameObject("/Image")})
        resource = DictionaryObject({NameObject("/Im1"): writer._add_object(picture)})
        writer.pages[number]["/Resources"][NameObject("/XObject")] = resource
    return _bytes_of(writer)


def _bytes_of(writer: Any) -> bytes:
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


# x and y in points from the lower left corner, font size, font (F1 Helvetica, F2 Helvetica bold), text
Snippet = tuple[float, float, float, str, str]


def positioned_pdf(snippets: Sequence[Snippet], *, matrix: str = "1 0 0 1 0 0") -> bytes:
    """A PDF file with one page of positioned text; ``matrix`` transforms its coordinates (the operator ``cm``)."""
    return _pdf([b"%s cm " % matrix.encode() + _content_stream(snippets)], None)


def _content_stream(snippets: Sequence[Snippet]) -> bytes:
    """PDF operators that show the snippets."""
    operators = "".join(
        f"/{font} {size} Tf 1 0 0 1 {x} {y} Tm ({_escaped(text)}) Tj " for x, y, size, font, text in snippets
    )
    return f"BT {operators}ET".encode("cp1252")


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def _pdf(contents: Sequence[bytes], title: str | None) -> bytes:
    """A PDF 1.4 file with a page for each content stream."""
    objects: list[bytes] = []

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    fonts = [
        add(b"<< /Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding >>" % name)
        for name in (b"Helvetica", b"Helvetica-Bold")
    ]
    page_tree = len(objects) + 2 * len(contents) + 1  # an object number: each page adds two objects before the tree
    kids = []
    for stream in contents:
        content = add(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        resources = b"<< /Font << /F1 %d 0 R /F2 %d 0 R >> >>" % tuple(fonts)
        page = b"/Type /Page /Parent %d 0 R /MediaBox [0 0 595 842] /Resources %s /Contents %d 0 R"
        kids.append(add(b"<< %s >>" % (page % (page_tree, resources, content))))
    add(b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(kids), b" ".join(b"%d 0 R" % kid for kid in kids)))
    catalog = add(b"<< /Type /Catalog /Pages %d 0 R >>" % page_tree)
    info = add(b"<< /Title (%s) >>" % title.encode("cp1252")) if title else None
    file = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    xref = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"/Size %d /Root %d 0 R" % (len(objects) + 1, catalog) + (b" /Info %d 0 R" % info if info else b"")
    return file + b"trailer\n<< %s >>\nstartxref\n%d\n%%%%EOF\n" % (trailer, xref)


def encrypted_pdf(pages: Sequence[str], *, user_password: str, algorithm: str = "AES-256") -> bytes:
    """The file of ``pdf_bytes`` with passwords; with an empty ``user_password`` anyone can read it, but not edit it."""
    from pypdf import PdfWriter

    writer = PdfWriter(clone_from=io.BytesIO(pdf_bytes(pages)))
    writer.encrypt(user_password=user_password, owner_password="owner", algorithm=algorithm)
    return _bytes_of(writer)


def docx_file(path: Path, blocks: Sequence[tuple[str, str]], *, title: str = "") -> Path:
    """Write a Word file of paragraphs and tables.

    A block is a pair. For a paragraph, it is a style, such as "Heading 1", and a text. For a table, it is "table" and
    the rows as lines, with tabs between cells.
    """
    import docx

    document = docx.Document()
    document.core_properties.title = title
    for style, text in blocks:
        if style == "table":
            rows = [line.split("\t") for line in text.split("\n")]
            table = document.add_table(len(rows), len(rows[0]))
            for cells, row in zip(rows, table.rows, strict=True):
                for cell, value in zip(row.cells, cells, strict=True):
                    cell.text = value
        else:
            document.add_paragraph(text, style=style)
    document.save(str(path))
    return path


def citation(
    pmid: str,
    title: str,
    sections: Sequence[tuple[str | None, str]] = (),
    *,
    year: str = "<Year>2019</Year><Month>Nov</Month>",
    mesh: Sequence[str] = (),
) -> str:
    """A PubmedArticle element as PubMed exports it.

    ``title`` is XML, and so are the texts of ``sections``, which are pairs of label and text.
    """
    abstract = "".join(
        f'<AbstractText Label="{label}" NlmCategory="{label}">{text}</AbstractText>' if label else
        f"<AbstractText>{text}</AbstractText>"
        for label, text in sections
    )  # fmt: skip
    headings = "".join(
        f'<MeshHeading><DescriptorName UI="D0" MajorTopicYN="N">{escape(name)}</DescriptorName>'
        '<QualifierName UI="Q0" MajorTopicYN="Y">therapy</QualifierName></MeshHeading>'
        for name in mesh
    )
    return f"""
<PubmedArticle>
  <MedlineCitation Status="MEDLINE" Owner="NLM">
    <PMID Version="1">{pmid}</PMID>
    <DateRevised><Year>2021</Year><Month>02</Month><Day>01</Day></DateRevised>
    <Article PubModel="Print">
      <Journal><ISSN IssnType="Print">0000-0019</ISSN>
        <JournalIssue CitedMedium="Print"><Volume>3</Volume><PubDate>{year}</PubDate></JournalIssue>
        <Title>Journal of made trials</Title><ISOAbbreviation>J Made Trials</ISOAbbreviation></Journal>
      <ArticleTitle>{title}</ArticleTitle>
      {f"<Abstract>{abstract}<CopyrightInformation>C</CopyrightInformation></Abstract>" if abstract else ""}
      <Language>eng</Language>
    </Article>
    {f"<MeshHeadingList>{headings}</MeshHeadingList>" if headings else ""}
  </MedlineCitation>
  <PubmedData><ArticleIdList><ArticleId IdType="pubmed">{pmid}</ArticleId></ArticleIdList>
    <ReferenceList><Reference><Citation>Another paper. 2001.</Citation>
      <ArticleIdList><ArticleId IdType="pubmed">999</ArticleId></ArticleIdList></Reference></ReferenceList></PubmedData>
</PubmedArticle>"""


def pubmed_xml(citations: Sequence[str], deleted: Sequence[str] = ()) -> str:
    """A file of PubMed's baseline or update folders: citations, and the PMIDs of deleted citations."""
    pmids = "".join(f'<PMID Version="1">{pmid}</PMID>' for pmid in deleted)
    body = "".join(citations) + (f"<DeleteCitation>{pmids}</DeleteCitation>" if deleted else "")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{DOCTYPE}\n<PubmedArticleSet>{body}</PubmedArticleSet>\n'


def gzipped(path: Path, text: str) -> Path:
    """Write ``text`` to a gzip file."""
    path.write_bytes(gzip.compress(text.encode()))
    return path


NBIB = """PMID- 31000001
OWN - NLM
STAT- MEDLINE
DCOM- 20200101
DP  - 2019 Nov-Dec
TI  - Rotesartan in adults with itch: a randomised trial that goes on
      over a line.
PG  - 11-19
AB  - BACKGROUND: Itch is common. RESULTS: Rotesartan lowered the itch score by 2.1
      points. CONCLUSIONS: It helped.
FAU - Doe, Jane
AU  - Doe J
LA  - eng
JT  - Journal of made trials
MH  - Adult
MH  - *Pruritus/drug therapy
MH  - Pruritus/etiology
SO  - J Made Trials. 2019 Nov-Dec;3(1):11-19.

PMID- 31000002
OWN - NLM
STAT- MEDLINE
DP  - 2020 Jan
TI  - Heparin after knee surgery.
AB  - Heparin prevented clots in 40 patients.
JT  - Journal of made trials
"""

HTML = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Ward notes  &amp; rules</title>
<style>p { color: red }</style><script>var hidden = "not to be read";</script></head>
<body><nav><a href="/">Home</a> <a href="/more">More</a></nav>
<h1>Ward <em>notes</em></h1>
<p>Heparin prevented clots in <b>40</b> patients.<br>It was stopped after a week.</p>
<h2>Doses</h2>
<ul><li>Heparin: 5,000 units</li><li>Aspirin: 75 mg</li></ul>
<table><tr><th>Drug</th><th>Dose</th></tr><tr><td>Statin</td><td>20&nbsp;mg</td></tr></table>
<pre>line one
  line two</pre>
<!-- a comment --></body></html>
"""

MARKDOWN = """# Heparin

Heparin prevented clots in 40 patients.

## Doses

- 5,000 units twice a day
- less with kidney disease

```
# not a heading
```
"""


def table_csv() -> str:
    """A table with quoted commas and line breaks."""
    return (
        "id,title,text,year,mesh\r\n"
        'a1,Heparin,"Heparin prevented clots, in 40 patients.\r\nIt was safe.",2019,Adult; Heparin\r\n'
        "a2,,Statins lowered cholesterol.,,\r\n"
    )


def lines_jsonl() -> str:
    """Two documents as JSON lines; the second has a number as its id and no title."""
    rows = [
        {"id": "b1", "title": "Aspirin", "text": "Aspirin lowered the risk.", "year": 2020, "mesh": ["Adult"]},
        {"id": 7, "text": "Nothing changed.", "year": "2018 Jan"},
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)
