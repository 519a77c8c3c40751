"""`slipstream doctor`: what keeps this machine, network or installation from serving, and what to
do about it. One small function for each check; the command runs them one after the other."""
