"""Image and clip encoders as backbones: whole frames, regions, or the best views of tracks."""
