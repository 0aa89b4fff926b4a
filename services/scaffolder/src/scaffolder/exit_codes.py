"""How the process that renders says why it failed; its parent does not load what it renders with."""

EXIT_REJECTED = 3
EXIT_UNAVAILABLE = 4
