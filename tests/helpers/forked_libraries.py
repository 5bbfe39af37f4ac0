"""Imports the libraries of ``medground index`` into the fork server; none is used there, so forking is safe."""

import common  # noqa: F401  (turns telemetry off before the libraries are imported)

# isort: split
import bm25s  # noqa: F401
import chromadb  # noqa: F401
import docx  # noqa: F401
import embedders  # noqa: F401
import langchain_chroma  # noqa: F401
import lxml.html  # noqa: F401
import markdown_it  # noqa: F401
import onnxruntime  # noqa: F401
import pypdf  # noqa: F401
import tokenizers  # noqa: F401

import retrievers.indexing
import retrievers.lexical  # noqa: F401
