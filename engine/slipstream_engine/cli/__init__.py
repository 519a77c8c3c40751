"""What the commands of `slipstream-engine` share."""
