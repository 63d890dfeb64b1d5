"""The farm of ``make demo``: web nodes, a round-robin front, a live page. Nothing else imports it.

    browser ── front (in the supervisor) ── web-1, web-2, web-3 ── one store

`supervisor` starts and ends all processes, `node` is one web process, `front` spreads requests over them, `page` is
what a visitor sees; `console` is the farm page with its buttons, `load` the simulated visitors that one of them starts.
"""
