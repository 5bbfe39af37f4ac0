"""Generator of the embedded sample: abstracts, questions, NLI pairs and conversations."""
