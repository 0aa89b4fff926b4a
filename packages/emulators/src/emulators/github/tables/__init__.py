"""SQL, one module per group of rows; nothing else in the emulator writes a query."""
