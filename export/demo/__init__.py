"""`wsra demo`: rendered clips to a trained and exported bundle, with its controls and a report."""
