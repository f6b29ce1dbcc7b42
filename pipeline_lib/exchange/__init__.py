"""Results that laboratories exchange: published, verified, merged."""
