"""Trains medground-tiny, the embedded chat model, from scratch on generated text."""
