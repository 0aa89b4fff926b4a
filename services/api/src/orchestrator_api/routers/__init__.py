"""Routes: who may call, what comes in, which repository answers. No SQL, no network."""
