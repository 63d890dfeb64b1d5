"""The whole library in a deterministic simulator: real code, simulated servers, network and clocks, from one seed.

From the ground up: `loop` is an event loop on a virtual clock. `network` carries bytes, and breaks. `memcached` and
`redis` are the servers. `farm` puts web nodes with the library on top. `plan` is what a seed stands for: who visits,
and what breaks when. `visits` and `faults` carry a plan out. `judge` and `data` compare what everybody saw with what
was promised. `run` does all of it for a seed, `shrink` makes a failing plan small, and `planted` are bugs that must be
found.
"""
