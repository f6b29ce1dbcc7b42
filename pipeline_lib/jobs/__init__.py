"""Running jobs, without effect on results: log, run folder, device, cost, warm start."""
