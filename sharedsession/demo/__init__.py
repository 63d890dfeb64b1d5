"""The farm of ``make demo``: web nodes, a round-robin front, a live page. Nothing else imports it.

    browser ── front (in the supervisor) ── web-1, web-2, web-3 ── one store

`supervisor` starts and ends all processes, `servers` are those of the store, `node` is one web process with its `shop`,
`front` spreads requests over them. `shop_page` is what a visitor sees: `story` is its top, `page` the frame, `unshared`
the page beside it, `actions` what its forms do, `advice` what the next kill will cost. `console` is the farm page with
its buttons, `load` the simulated visitors that one of them starts.
"""
