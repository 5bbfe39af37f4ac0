"""The embedded sample: abstracts, questions and NLI pairs written for this project."""
