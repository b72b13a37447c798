"""The host's side of the sandbox: how a student's process is started, confined, bounded and ended."""
