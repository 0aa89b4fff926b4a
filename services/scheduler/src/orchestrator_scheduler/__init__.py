"""Periodic jobs: reconciliation, provisioning triggers, health."""
