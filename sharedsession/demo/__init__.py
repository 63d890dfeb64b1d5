"""The farm of ``make demo``: web nodes, a round-robin front, a live page. Nothing else imports it.

    browser ── front (in the supervisor) ── web-1, web-2, web-3 ── one store

`farm` supervises, `node` is one web process, `front` spreads requests, `page` is what a person sees; `console` is the
farm page with its buttons, `load` the visitors that one of them sends.
"""
