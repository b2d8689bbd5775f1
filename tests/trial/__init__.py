"""The trial of an API."""
