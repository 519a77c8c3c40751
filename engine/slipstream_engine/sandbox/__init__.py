"""What keeps the engine process from the network and from other processes, by the kernel (Linux).

confinement.py: the measures, each taken where the kernel allows it, and a report of those that
hold. syscall_filter.py: which system calls are refused. system_calls.py: the calls to the kernel.

No library does this without libseccomp beside it, which slim images lack; what is needed is one
filter of a few instructions. A GPU needs nothing of what is refused: its driver is reached through
device files and ioctl. Ranks of a group talk
over a loopback: the network namespace has one of its own, which is brought up for them, and the
filter lets the network pass where that namespace holds.
"""
