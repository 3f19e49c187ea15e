"""`wsra verify`: check every route of a bundle on this device against its golden data."""
