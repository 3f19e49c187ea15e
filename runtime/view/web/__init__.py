"""HTTP as the page needs it: who is let in, refusals, event streams, and connections over which nothing comes."""
