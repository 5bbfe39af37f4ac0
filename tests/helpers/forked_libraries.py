"""The libraries of ``medground index``, imported; nothing of them runs, so a process may be forked from here."""

from medground.environment import prepare

prepare()

import Bio.Medline  # noqa: E402, F401
import chromadb  # noqa: E402, F401
import docx  # noqa: E402, F401
import langchain_chroma  # noqa: E402, F401
import lxml.html  # noqa: E402, F401
import markdown_it  # noqa: E402, F401
import pypdf  # noqa: E402, F401
import sentence_transformers  # noqa: E402
import sentence_transformers.sentence_transformer.modules  # noqa: E402, F401
import torch  # noqa: E402, F401
import transformers  # noqa: E402, F401

import medground.cli  # noqa: E402
import medground.ingest  # noqa: E402, F401
