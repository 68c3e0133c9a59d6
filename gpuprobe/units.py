"""How many of one unit make another, for times and for memory: integers, so that products of integers stay exact."""

PS_PER_NS = 1_000
PS_PER_US = 1_000_000
PS_PER_MS = 1_000_000_000
PS_PER_S = 1_000_000_000_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
MS_PER_S = 1_000
US_PER_MS = 1_000
US_PER_S = 1_000_000
# Bytes, as powers of two (IEC 80000-13).
KIB = 2**10
MIB = 2**20
