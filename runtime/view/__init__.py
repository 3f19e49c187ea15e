"""The page of `wsra view`: what the browser asks of a warm server, over HTTP on this machine. Needs the extra view."""
