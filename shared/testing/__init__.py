"""In-memory fakes that pass the contract suites of the real adapters."""
