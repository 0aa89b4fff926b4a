"""Periodic jobs: reconciliation, provisioning triggers, dead letters, health."""
