"""The deploy graph: from a merged commit to an address that answers."""
