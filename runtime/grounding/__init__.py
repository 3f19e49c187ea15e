"""From features and a sentence to moments: keys, logits, candidates, and the `Grounder` that owns what is open."""
