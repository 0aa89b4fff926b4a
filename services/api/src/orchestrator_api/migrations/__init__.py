"""Alembic revisions, run by orchestrator_api.migrate."""
