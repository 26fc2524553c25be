"""Kubernetes: the only package that speaks to it, and only `client` imports its library."""
