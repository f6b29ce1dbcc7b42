"""What carries a job along and never touches a result: log, run folder, device, cost, warm start."""
