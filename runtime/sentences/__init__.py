"""A look at the sentence before it is answered: its words, and notes on what a bundle cannot take from it."""
