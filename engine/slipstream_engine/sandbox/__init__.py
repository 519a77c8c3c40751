"""What keeps the engine process from the network and from other processes, by the kernel (Linux).

confinement.py: the measures, each taken where the kernel allows it, and a report of those that
hold. syscall_filter.py: which system calls are refused. system_calls.py: the calls to the kernel.

No library does this without libseccomp beside it, which slim images lack; what is needed is one
filter of a few instructions. A GPU needs nothing of what is refused: its driver is reached through
device files and ioctl. Several GPUs in one engine will need loopback for NCCL: the network
namespace has one, to be brought up, and the filter would then let AF_INET pass where it holds.
"""
