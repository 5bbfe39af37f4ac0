"""Natural language inference: pairs, public sets of them, claims with evidence, and statements of a text."""
