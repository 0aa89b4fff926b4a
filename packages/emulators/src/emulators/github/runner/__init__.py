"""The Actions runner: reads workflows, evaluates their expressions and executes their jobs."""
