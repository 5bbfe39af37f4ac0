"""The HTTP service: an API that OpenAI's clients know, and a page."""
