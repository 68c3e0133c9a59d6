"""The cards of the lab's sessions: those that it is drawn with, and some that are unlike them."""

from __future__ import annotations

from gpuprobe.simulate.spec import Card

CARDS = (
    Card(name="NVIDIA GeForce GTX 1060 3GB", compute_capability="6.1", sm_count=9, clock_mhz=1708, memory_mib=3072),
    Card(name="Tesla P100-PCIE-16GB", compute_capability="6.0", sm_count=56, clock_mhz=1328, memory_mib=16280),
    Card(name="Tesla V100-SXM2-16GB", compute_capability="7.0", sm_count=80, clock_mhz=1530, memory_mib=16160),
    Card(name="Tesla T4", compute_capability="7.5", sm_count=40, clock_mhz=1590, memory_mib=15109, power_limit_w=70),
    Card(name="NVIDIA GeForce RTX 3060", compute_capability="8.6", sm_count=28, clock_mhz=1777, memory_mib=12288),
    Card(name="NVIDIA A100-SXM4-40GB", compute_capability="8.0", sm_count=108, clock_mhz=1410, memory_mib=40536),
)
# Older and newer ones, one without Tensor Cores that is of 7.5, one that is a part of another.
UNUSUAL_CARDS = (
    Card(name="Tesla K80", compute_capability="3.7", sm_count=13, clock_mhz=875, memory_mib=11441),
    Card(name="Tesla M60", compute_capability="5.2", sm_count=16, clock_mhz=1178, memory_mib=8129),
    Card(name="NVIDIA GeForce GTX 1650", compute_capability="7.5", sm_count=14, clock_mhz=1665, memory_mib=4096),
    Card(name="NVIDIA A100-SXM4-40GB MIG 1g.5gb", compute_capability="8.0", sm_count=14, clock_mhz=1410),
    Card(name="NVIDIA GeForce RTX 4090", compute_capability="8.9", sm_count=128, clock_mhz=2520, memory_mib=24564),
    Card(name="NVIDIA H100 80GB HBM3", compute_capability="9.0", sm_count=132, clock_mhz=1980, memory_mib=81559),
)
