"""The user's documents: a reader for each format, passages, and the library that stores them."""
