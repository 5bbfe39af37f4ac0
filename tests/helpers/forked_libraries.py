"""The libraries of ``medground index``, imported; nothing of them runs, so a process may be forked from here."""

from medground.environment import prepare

prepare()

import bm25s  # noqa: E402, F401
import chromadb  # noqa: E402, F401
import docx  # noqa: E402, F401
import embedders  # noqa: E402, F401
import langchain_chroma  # noqa: E402, F401
import lxml.html  # noqa: E402, F401
import markdown_it  # noqa: E402, F401
import onnxruntime  # noqa: E402, F401
import pypdf  # noqa: E402, F401
import tokenizers  # noqa: E402, F401

import retrievers.indexing  # noqa: E402
import retrievers.lexical  # noqa: E402, F401
