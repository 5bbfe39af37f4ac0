"""The user's own documents: text files and folders of them, cut into passages."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from langchain_core.documents import Document

from corpus.errors import DataError, UserError
from corpus.json_file import read_text
from corpus.sentences import Span, paragraph_spans, sentence_spans, word_spans

SUFFIXES = (".txt", ".md")
PASSAGE_WORDS = 200


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: the passages, the files they come from, and the files of a folder that were passed over."""

    passages: list[Document]
    files: list[Path]
    skipped: list[Path]


def read_documents(paths: Sequence[Path | str]) -> Reading:
    """Read text files, and folders with everything below them, into passages.

    A passage's id is ``path#n`` with n from 1; the path is relative to the working folder where the file lies in it, so
    that the same command gives the same ids. Its text is a verbatim slice of the file, which begins at
    ``metadata["start"]`` (in characters). In a folder, hidden files, empty files and files of other kinds are passed
    over.

    Raises:
        DataError: a file is missing, not text, not UTF-8 or (named itself) empty.
        UserError: a file named itself is of another kind, or there is nothing to read.
    """
    found: dict[Path, Path] = {}
    skipped: list[Path] = []
    for given in map(Path, paths):
        for path in _files(given.expanduser()):
            if path.suffix.lower() in SUFFIXES and (path == given.expanduser() or not _is_blank(path)):
                found.setdefault(path.resolve(), path)
            else:
                skipped.append(path)
    passages = [passage for path in found.values() for passage in _passages(path)]
    if not passages:
        raise UserError(
            f"There is nothing to read in {', '.join(map(str, paths))}: "
            f"no {' or '.join(SUFFIXES)} file with text ({len(skipped)} other files)."
        )
    return Reading(passages=passages, files=list(found.values()), skipped=skipped)


def split_passages(text: str, words: int = PASSAGE_WORDS) -> list[Span]:
    """Cut a text into spans of at most ``words`` words, at ends of paragraphs, else of sentences, else of words."""
    spans: list[Span] = []
    size = 0
    for start, end in _pieces(text, words):
        count = len(word_spans(text, start, end))
        if spans and size + count <= words:
            spans[-1] = (spans[-1][0], end)
            size += count
        else:
            spans.append((start, end))
            size = count
    return spans


def _pieces(text: str, words: int) -> Iterator[Span]:
    """The largest natural pieces (paragraph, sentence, run of words) that fit into ``words`` words."""
    for paragraph in paragraph_spans(text):
        if len(word_spans(text, *paragraph)) <= words:
            yield paragraph
            continue
        for sentence in sentence_spans(text, *paragraph):
            tokens = word_spans(text, *sentence)
            for first in range(0, len(tokens), words):
                yield tokens[first][0], tokens[min(first + words, len(tokens)) - 1][1]


def _passages(path: Path) -> Iterable[Document]:
    text = read_text(path)
    if "\0" in text:
        raise DataError(path, f"is not a text file: it holds a NUL character at offset {text.index(chr(0))}.")
    name = _name(path)
    for number, (start, end) in enumerate(split_passages(text), start=1):
        key = f"{name}#{number}"
        yield Document(id=key, page_content=text[start:end], metadata={"id": key, "source": name, "start": start})


def _is_blank(path: Path) -> bool:
    try:
        return not path.read_bytes().strip()
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror}).") from None


def _name(path: Path) -> str:
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  (keeps symbolic links, which resolve() would follow)
    here = Path.cwd()
    return (absolute.relative_to(here) if absolute.is_relative_to(here) else absolute).as_posix()


def _files(path: Path) -> list[Path]:
    """The file itself, or the visible files below a folder in sorted order."""
    if not path.is_dir():
        if not path.exists():
            raise DataError(path, "there is no such file or folder. Check the path.")
        if path.suffix.lower() not in SUFFIXES:
            advice = " Turn it into text first, for example with pdftotext." if path.suffix.lower() == ".pdf" else ""
            raise UserError(f"{path}: only {' and '.join(SUFFIXES)} files are read.{advice}")
        return [path]

    def refuse(error: OSError) -> None:
        raise DataError(error.filename or path, f"cannot be read ({error.strerror}).")

    files: list[Path] = []
    for folder, below, names in os.walk(path, onerror=refuse):
        below[:] = sorted(name for name in below if not name.startswith("."))
        files += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
    return [file for file in files if file.is_file()]
