"""Creates repositories from copier templates."""
