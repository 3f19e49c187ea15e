"""`wsra demo`: renders clips, trains and exports a bundle, and reports its figures beside controls."""
