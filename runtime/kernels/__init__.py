"""Ways to score snippets: keys and sentences in, one logit each out. All agree with float64 from the same keys; see docs/ground.md."""
