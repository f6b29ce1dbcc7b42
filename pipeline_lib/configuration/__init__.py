"""From the configuration's text to a plan: named entries, sweeps, studies and figures."""
