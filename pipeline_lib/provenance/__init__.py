"""What a result was made by: digests of source texts, fingerprints of jobs."""
