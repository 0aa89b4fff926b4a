"""One module per part of the application; each has a `router`, and PAGE = ("Title", "/path") to be listed at "/"."""
