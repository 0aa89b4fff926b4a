"""REST resources."""
