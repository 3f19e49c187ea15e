"""What the opened folders hold, by ids: cameras, folders, videos; made anew from time to time."""
