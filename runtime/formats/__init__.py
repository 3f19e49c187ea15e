"""What files hold: features and their tracks, bundles, annotations, and the formats of others."""
