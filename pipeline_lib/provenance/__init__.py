"""Provenance of results: digests of source texts, fingerprints of jobs."""
