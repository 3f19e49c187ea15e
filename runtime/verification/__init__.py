"""`wsra verify`: every way to run a bundle on this device, held against its golden data."""
