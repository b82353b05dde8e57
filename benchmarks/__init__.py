"""Measure crdtsync against the servers that people run today, with one load generator for all."""
