"""What is learned and how: networks, rollouts, losses, optimizers; no processes."""
