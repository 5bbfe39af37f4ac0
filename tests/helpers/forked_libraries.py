"""The libraries of ``medground index``, imported; nothing of them runs, so a process may be forked from here."""

import Bio.Medline  # noqa: F401
import chromadb  # noqa: F401
import docx  # noqa: F401
import langchain_chroma  # noqa: F401
import lxml.html  # noqa: F401
import markdown_it  # noqa: F401
import pypdf  # noqa: F401
import sentence_transformers
import sentence_transformers.sentence_transformer.modules  # noqa: F401
import torch  # noqa: F401
import transformers  # noqa: F401

import common  # noqa: F401  (turns telemetry off before the libraries are imported)
import medground.cli
import medground.ingest  # noqa: F401
