"""Prepares servers with Ansible."""
