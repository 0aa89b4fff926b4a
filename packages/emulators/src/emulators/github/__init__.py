"""GitHub as far as this project uses it: REST, git over smart HTTP and a small Actions runner, on one port."""
