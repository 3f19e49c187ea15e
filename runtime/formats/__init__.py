"""File formats: features and their tracks, bundles, annotations and predictions."""
