"""`wsra doctor`: what this machine has, what stops `wsra ground` on it, and what to do."""
